-- SPDX-License-Identifier: Apache-2.0
-- Pairs of addresses by octets, both directions; sampled counters are multiplied by their rate.
SELECT least(src_ip, dst_ip) AS one, greatest(src_ip, dst_ip) AS other, protocol,
    sum(scaled(coalesce(total_bytes, 0), sampling_rate)) AS octets, sum(scaled(coalesce(total_packets, 0), sampling_rate)) AS packets,
    count(*) AS flows
FROM flows
WHERE src_ip IS NOT NULL AND dst_ip IS NOT NULL
GROUP BY 1, 2, protocol
ORDER BY octets DESC, one, other, protocol
LIMIT getvariable('n');
