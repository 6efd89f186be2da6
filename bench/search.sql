-- Five million rows of the trace, in the layout of exchange/views/trace_schema.sql, out of `subjects` and `units`.
-- Every document a few words, a sender and recipients; receipts that mostly come soon; some refused, some recalled.

CREATE TEMPORARY TABLE made AS
SELECT d.n, CASE WHEN s.urgency > 0 THEN 'documents.urgent' ELSE 'documents' END AS topic, d.n %% 4 AS partition,
    (d.n / 4)::bigint AS source_offset, %(first_ms)s + d.n::bigint * %(spacing_ms)s AS append_ms,
    sender.code AS sender, sender.level AS sender_level, 'd-' || md5(d.n::text) AS id, s.n AS subject,
    CASE WHEN d.n %% 100000 = 0 THEN 'all' WHEN d.n %% 5 = 0 THEN 'three' ELSE 'one' END AS spread
FROM (SELECT n, floor(random() ^ 2 * %(units)s)::int AS u, floor(random() * %(subjects)s)::int AS s
      FROM generate_series(0, %(documents)s - 1) AS n) AS d
JOIN units sender ON sender.n = d.u JOIN subjects s ON s.n = d.s;

CREATE TEMPORARY TABLE copies AS
SELECT m.n, m.topic, m.partition, m.source_offset, m.append_ms, u.code AS recipient, u.level,
    CASE WHEN luck < 0.005 THEN -1 ELSE 1 END AS inbox_partition,
    CASE WHEN luck < 0.005 OR luck > 0.98 THEN NULL
         WHEN luck > 0.94 THEN m.append_ms + 172800000 + (random() * 864000000)::bigint
         ELSE m.append_ms + 60000 + (random() ^ 3 * 172000000)::bigint END AS receipt_ms,
    luck, random() AS fate
FROM (
    SELECT DISTINCT ON (n, u) *, random() AS luck FROM (
        SELECT m.*, floor(random() ^ 1.5 * %(units)s)::int AS u
        FROM made m, generate_series(1, CASE spread WHEN 'three' THEN 3 ELSE 1 END) AS one WHERE spread <> 'all'
        UNION ALL SELECT m.*, u.n FROM made m, units u WHERE spread = 'all' AND u.level = 4
    ) AS m
) AS m JOIN units u ON u.n = m.u;
UPDATE copies SET receipt_ms = NULL WHERE receipt_ms > %(now_ms)s;

INSERT INTO documents
SELECT topic, partition, source_offset, 'document', sender || '/' || id, sender, id, sender_level, sha256(id::bytea),
    append_ms, 'new', s.code, s.type, s.subject, (append_ms / 86400000)::int, s.urgency, NULL, 1, 123456
FROM made m JOIN subjects s ON s.n = m.subject;

-- Of a hundred copies one is refused, one is asked back; of those half are given back.
INSERT INTO deliveries (source_topic, partition, source_offset, recipient, level, inbox_partition, delivered_ms, state,
    recalled_ms, first_receipt_ms, status_code, status_ms)
SELECT topic, partition, source_offset, recipient, level, inbox_partition,
    CASE WHEN inbox_partition >= 0 THEN append_ms END,
    CASE WHEN inbox_partition < 0 THEN 8 WHEN receipt_ms IS NULL THEN CASE WHEN fate > 0.99 THEN 16 ELSE 0 END
         WHEN fate < 0.01 THEN 2 WHEN fate > 0.995 THEN 7 WHEN fate > 0.99 THEN 19 WHEN fate < 0.6 THEN 6 ELSE 3 END,
    CASE WHEN inbox_partition >= 0 AND fate > 0.99 THEN append_ms + 3600000 END,
    receipt_ms, CASE WHEN receipt_ms IS NOT NULL THEN 3 END, receipt_ms
FROM copies;

CREATE TEMPORARY TABLE terms_of AS
SELECT m.n, ts_delete(s.terms, ARRAY['s.', 'S', 'l0']) || array_to_tsvector(ARRAY['s' || m.sender || '.',
    'S' || split_part(m.sender, '.', 1), 'l' || m.sender_level, 'd' || to_char(to_timestamp(m.append_ms / 1000), 'YYYY-MM-DD')]) || c.terms AS terms
FROM made m JOIN subjects s ON s.n = m.subject JOIN (
    SELECT n, array_to_tsvector(array_agg('r' || recipient || '.') || array_agg('R' || split_part(recipient, '.', 1)) || array_agg('v' || level)
        || array_agg(CASE WHEN inbox_partition < 0 THEN 'z' ELSE 'v' || level END)) AS terms FROM copies GROUP BY n
) AS c ON c.n = m.n;

-- In the order of time, as the projection writes them: documents, their statuses and what was refused beside another.
INSERT INTO events (source_topic, partition, source_offset, append_ms, outcome, code, kind, sender, verified, id, thread,
    sha256, certificate, accepted_offset, trace_offset, trace_index, directory_offset, hop_ms, worker, document_sender,
    document_id, recipient, status_code, moved, state, reason, terms)
SELECT topic, partition, source_offset, append_ms, outcome, code, kind, sender, verified, id, thread, sha256(id::bytea),
    sha256(sender::bytea), -1, source_offset / 50, source_offset %% 50, 13000, append_ms, 'hop-1', document_sender,
    document_id, recipient, status_code, true, status_code, reason, terms
FROM (
    SELECT topic, partition, source_offset, append_ms, 'accepted' AS outcome, '' AS code, 'document' AS kind, sender,
        true AS verified, id, sender || '/' || id AS thread, NULL AS document_sender, NULL AS document_id,
        NULL AS recipient, NULL::int AS status_code, NULL AS reason, t.terms
    FROM made m JOIN terms_of t ON t.n = m.n
    UNION ALL
    SELECT 'statuses', c.partition, row_number() OVER (), receipt_ms + (step - 1) * 600000, 'accepted', '', 'status',
        c.recipient, true, 's-' || md5(c.n::text || c.recipient || step), m.sender || '/' || m.id, m.sender, m.id,
        c.recipient, CASE step WHEN 1 THEN 1 ELSE 3 END, '', NULL
    FROM copies c JOIN made m ON m.n = c.n, generate_series(1, %(statuses)s) AS step WHERE receipt_ms IS NOT NULL
    UNION ALL
    SELECT topic, 4 + partition, source_offset, append_ms + 1, 'rejected', r.code, 'document', sender,
        r.code <> 'signature.invalid', 'r-' || md5(n::text), '', NULL, NULL, NULL, NULL, NULL,
        array_to_tsvector(ARRAY['s' || sender || '.', 'S' || split_part(sender, '.', 1), 'orejected', 'x' || r.code])
    FROM made m JOIN (VALUES (0, 'signature.invalid'), (1, 'certificate.revoked'), (2, 'recipient.unknown'),
        (3, 'text.too_long'), (4, 'avro.truncated')) AS r (number, code) ON r.number = m.n / 50 %% 5
    WHERE n %% 50 = 7
) AS e ORDER BY append_ms;
