-- SPDX-License-Identifier: Apache-2.0
-- Server names of TLS connections by octets.
SELECT tls_sni AS server_name, sum(scaled(coalesce(total_bytes, 0), sampling_rate)) AS octets, count(*) AS flows,
    count(DISTINCT src_ip) AS clients
FROM flows
WHERE tls_sni IS NOT NULL
GROUP BY tls_sni
ORDER BY octets DESC, server_name
LIMIT getvariable('n');
