-- SPDX-License-Identifier: Apache-2.0
-- Exporters and their observation domains: what they sent, as of when, how late, how sampled.
SELECT exporter_ip, max(exporter_name) AS name, source, observation_domain_id AS domain, count(*) AS flows,
    sum(scaled(coalesce(total_bytes, 0), sampling_rate)) AS octets, min(event_time) AS first, max(event_time) AS last,
    median(ingest_latency_ms) AS median_delay_ms, max(sampling_rate) AS sampling_rate
FROM flows
GROUP BY exporter_ip, source, observation_domain_id
ORDER BY flows DESC, exporter_ip, source, domain
LIMIT getvariable('n');
