-- The throughput: sums by window, computed from the topic throughput.deltas, one row a source partition, part and cell.
-- Minutes are since 1970 of the broker's append time; sizes are in minutes.

-- How far each source partition is counted.
CREATE TABLE positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    newest_minute bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- next_offset: the state of the source partition that the sums are of; a row of a later state is never replaced by an
-- earlier one's, so writing again, late, or twice at once changes nothing.
CREATE TABLE cells (
    size integer NOT NULL,
    start bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    since bigint NOT NULL,
    sender_level smallint NOT NULL,
    recipient_level smallint NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    code text NOT NULL,
    urgency smallint NOT NULL,
    documents bigint NOT NULL,
    deliveries bigint NOT NULL,
    bytes bigint NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (size, start, topic, partition, since, sender_level, recipient_level, kind, outcome, code, urgency)
);

-- By the hour, what agencies below a path did (exchange/agencies/subtrees.py); each agency is below one path.
CREATE TABLE subtrees (
    size integer NOT NULL,
    start bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    since bigint NOT NULL,
    path text COLLATE "C" NOT NULL,
    sent bigint NOT NULL,       -- documents and reports accepted from them
    received bigint NOT NULL,   -- copies delivered to them
    refused bigint NOT NULL,    -- submissions of theirs rejected, their signature verified
    receipts bigint NOT NULL,   -- receipts accepted from them
    next_offset bigint NOT NULL,
    PRIMARY KEY (size, start, topic, partition, since, path)
);

-- How long things took, counted by bucket (exchange/views/throughput/sketch.py). measure: `latency` of accepted
-- statements, level 0; `receipt`, from a document to a receipt, by the level of who signed it.
CREATE TABLE sketches (
    size integer NOT NULL,
    start bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    since bigint NOT NULL,
    measure text NOT NULL,
    level smallint NOT NULL,
    bucket smallint NOT NULL,
    counted bigint NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (size, start, topic, partition, since, measure, level, bucket)
);

-- Offsets of which nothing was counted: while there are any, the sums between these minutes are too small.
CREATE TABLE gaps (
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    from_minute bigint NOT NULL,
    until_minute bigint NOT NULL,
    PRIMARY KEY (topic, partition, first_offset)
);

-- What everyone reads: the sums over source partitions and parts.
CREATE VIEW throughput AS
SELECT size, start, sender_level, recipient_level, kind, outcome, code, urgency,
    sum(documents)::bigint AS documents, sum(deliveries)::bigint AS deliveries, sum(bytes)::bigint AS bytes
FROM cells
GROUP BY size, start, sender_level, recipient_level, kind, outcome, code, urgency;

-- The same of the subtrees; hours add up to days.
CREATE VIEW throughput_of_subtrees AS
SELECT size, start, path, sum(sent)::bigint AS sent, sum(received)::bigint AS received, sum(refused)::bigint AS refused,
    sum(receipts)::bigint AS receipts
FROM (
    SELECT size, start, path, sent, received, refused, receipts FROM subtrees
    UNION ALL SELECT 1440, start - start % 1440, path, sent, received, refused, receipts FROM subtrees
) AS of_hours_and_days
GROUP BY size, start, path;

-- The same of how long things took; topic: the lane that the statements came in.
CREATE VIEW throughput_sketches AS
SELECT size, start, measure, topic, level, bucket, sum(counted)::bigint AS counted
FROM sketches
GROUP BY size, start, measure, topic, level, bucket;
