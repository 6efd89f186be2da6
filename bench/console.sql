-- A year of the throughput, in the layout of exchange/views/throughput/schema.sql, up to the minute `until`: the nation's
-- 550,000 documents a month, thirteen a minute in eight cells and the totals of their four senders' levels.

CREATE TEMPORARY TABLE minutes AS
SELECT m, c / 4 + 1 AS sender_level, c %% 4 + 1 AS recipient_level, 1 + floor(random() * 3)::int AS documents
FROM generate_series(%(until)s - 525600, %(until)s) AS m, LATERAL (
    SELECT floor(random() * 16)::int AS c FROM generate_series(1, 8) WHERE m > 0 GROUP BY 1
) AS cells;

INSERT INTO cells
SELECT size, m - m %% size, 'documents', 0, 0, sender_level, recipient_level, 'document', 'accepted', '', 0,
    sum(documents), sum(documents), sum(documents) * 100000, 1
FROM (
    SELECT m, sender_level, recipient_level, documents FROM minutes
    UNION ALL SELECT m, sender_level, 0, documents FROM minutes
) AS each, unnest(ARRAY[1, 60, 1440]) AS size
GROUP BY size, m - m %% size, sender_level, recipient_level;

INSERT INTO positions VALUES ('documents', 0, 1, %(until)s);
