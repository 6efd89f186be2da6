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
