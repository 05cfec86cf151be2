-- SPDX-License-Identifier: Apache-2.0
-- Addresses by octets, sent and received; sampled counters are multiplied by their rate.
SELECT address, sum(sent + received) AS octets, sum(sent) AS sent, sum(received) AS received, sum(packets) AS packets, count(*) AS flows
FROM (
    SELECT src_ip AS address, scaled(coalesce(bytes, 0), sampling_rate) AS sent, scaled(coalesce(reverse_bytes, 0), sampling_rate) AS received,
        scaled(coalesce(total_packets, 0), sampling_rate) AS packets
    FROM flows
    UNION ALL
    SELECT dst_ip, scaled(coalesce(reverse_bytes, 0), sampling_rate), scaled(coalesce(bytes, 0), sampling_rate),
        scaled(coalesce(total_packets, 0), sampling_rate)
    FROM flows
)
WHERE address IS NOT NULL
GROUP BY address
ORDER BY octets DESC, address
LIMIT getvariable('n');
