-- SPDX-License-Identifier: Apache-2.0
-- Interfaces of exporters: octets of the flows that came in and went out there.
SELECT exporter_ip, interface, max(name) AS name, sum(came_in) AS octets_in, sum(went_out) AS octets_out, count(*) AS flows
FROM (
    SELECT exporter_ip, unnest([{'interface': in_interface, 'name': in_interface_name, 'came_in': octets, 'went_out': 0::HUGEINT},
        {'interface': out_interface, 'name': out_interface_name, 'came_in': 0::HUGEINT, 'went_out': octets}], recursive := true)
    FROM (SELECT *, scaled(coalesce(bytes, 0), sampling_rate) AS octets FROM flows)
)
WHERE interface IS NOT NULL
GROUP BY exporter_ip, interface
ORDER BY octets_in + octets_out DESC, exporter_ip, interface
LIMIT getvariable('n');
