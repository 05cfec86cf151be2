-- SPDX-License-Identifier: Apache-2.0
-- What never arrived, by exporter and hour, newest first: an estimate from sequence numbers, see `sluicectl exporters'.
-- A gap stands in every flow of the message behind it.  NetFlow v9 counts messages, others records.
WITH messages AS (
    SELECT time_bucket(INTERVAL 1 HOUR, coalesce(export_time, ingest_time)) AS export_hour, exporter_ip, max(exporter_name) AS name, source,
        observation_domain_id AS domain, max(coalesce(sequence_gap, 0)) AS gap, count(*) AS flows
    FROM flows
    GROUP BY export_hour, exporter_ip, exporter_port, source, domain, export_time, export_sequence
)
SELECT export_hour AS hour, exporter_ip, max(name) AS name, source, domain, sum(flows) AS flows, sum(gap) AS missing,
    CASE WHEN source = 'netflow9' THEN 'messages' ELSE 'records' END AS unit,
    100.0::DOUBLE * sum(gap) / (sum(gap) + CASE WHEN source = 'netflow9' THEN count(*) ELSE sum(flows) END) AS percent
FROM messages
GROUP BY export_hour, exporter_ip, source, domain
ORDER BY hour DESC, missing DESC, exporter_ip, source, domain
LIMIT getvariable('n');
