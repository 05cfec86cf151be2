-- SPDX-License-Identifier: Apache-2.0
-- Names that were asked for, how often, by how many, and how many answers were errors.
SELECT dns_query AS name, count(*) AS queries, count(DISTINCT src_ip) AS clients,
    count(*) FILTER (WHERE dns_rcode = 3) AS no_such_name, count(*) FILTER (WHERE dns_rcode NOT IN (0, 3)) AS failed
FROM flows
WHERE dns_query IS NOT NULL
GROUP BY dns_query
ORDER BY queries DESC, name
LIMIT getvariable('n');
