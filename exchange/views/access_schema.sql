-- Who looked at what as an auditor, version 1 (schema accesses_v1): a projection of the topic audit.accesses.
-- Apart from the trace store, so that rebuilding either leaves the other; made new by dropping it.

-- Where the projection goes on reading; moves in the same transaction as the rows.
CREATE TABLE position (
    topic       text COLLATE "C" NOT NULL PRIMARY KEY,
    next_offset bigint NOT NULL
);

-- One row a record. An export has several, with one access.
CREATE TABLE accesses (
    record_offset bigint NOT NULL PRIMARY KEY,
    access        bytea NOT NULL,
    append_ms     bigint NOT NULL,              -- the broker's clock
    action        text COLLATE "C" NOT NULL,
    by            text NOT NULL,
    reason        text NOT NULL,
    asked         text NOT NULL
);

-- The submissions that were shown.
CREATE TABLE shown (
    source_topic  text COLLATE "C" NOT NULL,
    partition     integer NOT NULL,
    source_offset bigint NOT NULL,
    record_offset bigint NOT NULL,
    PRIMARY KEY (source_topic, partition, source_offset, record_offset)
);
