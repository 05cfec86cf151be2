-- SPDX-License-Identifier: Apache-2.0
-- Applications by octets: by nDPI's name, else the exporter's, else the service of the port.
SELECT coalesce(ndpi_app, app_name, service_name, 'unknown') AS application,
    sum(scaled(coalesce(total_bytes, 0), sampling_rate)) AS octets, sum(scaled(coalesce(total_packets, 0), sampling_rate)) AS packets,
    count(*) AS flows, count(DISTINCT src_ip) AS sources
FROM flows
GROUP BY 1
ORDER BY octets DESC, application
LIMIT getvariable('n');
