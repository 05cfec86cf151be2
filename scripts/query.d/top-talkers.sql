-- SPDX-License-Identifier: Apache-2.0
-- Addresses by octets, sent and received; sampled counters are multiplied by their rate.
SELECT address, sum(sent + received) AS octets, sum(sent) AS sent, sum(received) AS received, sum(packets) AS packets, count(*) AS flows
FROM (
    -- Both sides of a flow, by one look at the files.
    SELECT unnest([{'address': src_ip, 'sent': forward, 'received': back}, {'address': dst_ip, 'sent': back, 'received': forward}], recursive := true),
        packets
    FROM (
        SELECT src_ip, dst_ip, scaled(coalesce(bytes, 0), sampling_rate) AS forward, scaled(coalesce(reverse_bytes, 0), sampling_rate) AS back,
            scaled(coalesce(total_packets, 0), sampling_rate) AS packets
        FROM flows
    )
)
WHERE address IS NOT NULL
GROUP BY address
ORDER BY octets DESC, address
LIMIT getvariable('n');
