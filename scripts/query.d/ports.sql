-- SPDX-License-Identifier: Apache-2.0
-- Services by octets: the server's port and protocol, with how many servers and clients.
SELECT coalesce(server_port, dst_port) AS port, protocol, max(service_name) AS service,
    sum(scaled(coalesce(total_bytes, 0), sampling_rate)) AS octets, count(*) AS flows,
    count(DISTINCT coalesce(server_ip, dst_ip)) AS servers,
    count(DISTINCT CASE WHEN coalesce(server_ip, dst_ip) = src_ip THEN dst_ip ELSE src_ip END) AS clients
FROM flows
WHERE coalesce(server_port, dst_port) IS NOT NULL
GROUP BY 1, protocol
ORDER BY octets DESC, port, protocol
LIMIT getvariable('n');
