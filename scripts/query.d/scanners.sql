-- SPDX-License-Identifier: Apache-2.0
-- Sources that tried most different ports of addresses, and how many of their TCP flows came to nothing.
SELECT src_ip AS source, count(DISTINCT (dst_ip, dst_port)) AS targets, count(DISTINCT dst_ip) AS addresses, count(DISTINCT dst_port) AS ports,
    count(*) FILTER (WHERE tcp_session_state IN ('syn_only', 'reset')) AS in_vain, count(*) AS flows
FROM flows
WHERE src_ip IS NOT NULL AND dst_ip IS NOT NULL AND dst_port IS NOT NULL
GROUP BY src_ip
ORDER BY targets DESC, in_vain DESC, source
LIMIT getvariable('n');
