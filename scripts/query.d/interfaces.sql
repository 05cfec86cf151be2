-- SPDX-License-Identifier: Apache-2.0
-- Interfaces of exporters: octets of the flows that came in and went out there.
SELECT exporter_ip, interface, max(name) AS name, sum(came_in) AS octets_in, sum(went_out) AS octets_out, count(*) AS flows
FROM (
    SELECT exporter_ip, in_interface AS interface, in_interface_name AS name, scaled(coalesce(bytes, 0), sampling_rate) AS came_in, 0 AS went_out
    FROM flows
    UNION ALL
    SELECT exporter_ip, out_interface, out_interface_name, 0, scaled(coalesce(bytes, 0), sampling_rate)
    FROM flows
)
WHERE interface IS NOT NULL
GROUP BY exporter_ip, interface
ORDER BY octets_in + octets_out DESC, exporter_ip, interface
LIMIT getvariable('n');
