-- SPDX-License-Identifier: Apache-2.0
-- Traffic over time in at most n steps; sampled counters are multiplied by their rate.
WITH span AS (
    SELECT epoch_ms(min(event_time)) AS first, epoch_ms(max(event_time)) AS last FROM flows
), step AS (
    SELECT coalesce(min(ms), 365 * 86400000::BIGINT) AS ms
    FROM span, (SELECT unnest([1, 10, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 604800, 2592000]) * 1000::BIGINT AS ms)
    WHERE last // ms - first // ms < getvariable('n')
)
SELECT make_timestamp(epoch_ms(event_time) // ms * ms * 1000) AT TIME ZONE 'UTC' AS start, count(*) AS flows,
    sum(scaled(coalesce(total_bytes, 0), sampling_rate)) AS octets, sum(scaled(coalesce(total_packets, 0), sampling_rate)) AS packets,
    octets::DOUBLE * 8000 / max(ms) AS bits_per_second
FROM flows, step
GROUP BY 1
ORDER BY start
LIMIT getvariable('n');
