-- The layout of the trace store, version 2 (schema trace_v2): a projection of the topic `trace`.
--
-- Run once, in one transaction, in a new schema that alone is in the search_path. A changed layout is a rebuild
-- from the topics, never an ALTER (docs/decisions/0004-projections-are-rebuilt-not-migrated.md).
--
-- Numbers are as wide as on the wire (Avro int and long), so that no sender can write one that doesn't fit:
-- days since 1970 stay integers, for an Avro date reaches beyond any SQL date. Times are the broker's, in
-- milliseconds since 1970 UTC, as appended: a broker's clock can step back. Text compares by its bytes.

-- Where the projection goes on reading; moves in the same transaction as the rows.
CREATE TABLE offsets (
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- One row a submission, whatever became of it. `partition` is that of the source topic and of the trace.
CREATE TABLE events (
    source_topic     text COLLATE "C" NOT NULL,
    partition        integer NOT NULL,
    source_offset    bigint NOT NULL,
    append_ms        bigint NOT NULL,
    outcome          text COLLATE "C" NOT NULL,  -- accepted, rejected, duplicate, set_aside, erased
    code             text COLLATE "C" NOT NULL,  -- why it was rejected or set aside
    kind             text COLLATE "C" NOT NULL,
    sender           text COLLATE "C" NOT NULL,  -- only claimed, unless verified
    verified         boolean NOT NULL,
    id               text COLLATE "C" NOT NULL,
    thread           text COLLATE "C" NOT NULL,
    sha256           bytea,
    certificate      bytea,                      -- SHA-256 of the seal's, of an accepted statement
    accepted_offset  bigint NOT NULL,            -- of a duplicate: source_offset of the one accepted; else -1
    trace_offset     bigint NOT NULL,            -- with trace_index the order in which the hop decided
    trace_index      integer NOT NULL,
    directory_offset bigint NOT NULL,
    hop_ms           bigint NOT NULL,            -- the worker's clock, informative
    worker           text NOT NULL,
    document_sender  text COLLATE "C",           -- from here on of accepted statuses only
    document_id      text COLLATE "C",
    recipient        text COLLATE "C",
    status_code      integer,
    moved            boolean,
    state            integer,                    -- of the recipient's copy after it
    reason           text,
    terms            tsvector,                   -- what it is found by (views/trace_terms.py); null: accepted status
    PRIMARY KEY (source_topic, partition, source_offset)
);
CREATE INDEX events_by_id ON events (id, sender);
CREATE INDEX events_by_time ON events (append_ms, source_topic, partition, source_offset) WHERE terms IS NOT NULL;
ALTER TABLE events ALTER terms SET STATISTICS 500;  -- terms are many, and how often one occurs decides how to search
CREATE INDEX events_by_terms ON events USING gin (terms) WHERE terms IS NOT NULL;
-- Accepted documents, most of all rows, are found by their thread in documents.
CREATE INDEX events_by_thread ON events (thread) WHERE outcome <> 'accepted' OR document_id IS NOT NULL;

-- Accepted statements whose copies have a state of their own: documents and reports. An id is accepted once.
CREATE TABLE documents (
    source_topic  text COLLATE "C" NOT NULL,
    partition     integer NOT NULL,
    source_offset bigint NOT NULL,
    kind          text COLLATE "C" NOT NULL,
    thread        text COLLATE "C" NOT NULL,
    sender        text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    sender_level  integer NOT NULL,
    sha256        bytea NOT NULL,
    append_ms     bigint NOT NULL,
    business      text COLLATE "C",              -- from here on of documents only
    code          text,
    type          text,
    subject       text,
    issued        integer,                       -- days since 1970
    urgency       integer,
    due           integer,                       -- days since 1970
    attachments   integer,
    bytes         bigint,
    PRIMARY KEY (thread, sender, id)
);

-- One row an accepted statement and recipient. `inbox_partition`: of inbox.<level>; -1 is undeliverable.
CREATE TABLE deliveries (
    source_topic     text COLLATE "C" NOT NULL,
    partition        integer NOT NULL,
    source_offset    bigint NOT NULL,
    recipient        text COLLATE "C" NOT NULL,
    level            integer NOT NULL,
    inbox_partition  integer NOT NULL,
    redirected_from  text COLLATE "C",
    delivered_ms     bigint,                     -- when it was appended, if its recipient can acknowledge it
    state            integer,                    -- of a document's copy (exchange/statements/chain.py)
    recalled_ms      bigint,                     -- when its sender first asked for it back
    first_receipt_ms bigint,                     -- when the recipient's first status was appended
    status_code      integer,                    -- the last status, by either side
    status_ms        bigint,
    delay_ms         bigint GENERATED ALWAYS AS (first_receipt_ms - delivered_ms) STORED,
    PRIMARY KEY (source_topic, partition, source_offset, recipient)
) WITH (fillfactor = 85);                        -- room for its states in the same page
CREATE INDEX deliveries_by_delay ON deliveries (delay_ms, delivered_ms) WHERE delivered_ms IS NOT NULL;
CREATE INDEX deliveries_recalled ON deliveries (recalled_ms) WHERE recalled_ms IS NOT NULL;

-- The state after a request (0x10 take-back, 0x20 change) that the hop opened where it could: `chain.ask`.
CREATE FUNCTION asked(state integer, request integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN state & 48 <> 0 OR state & 15 IN (2, 7, 8) THEN state ELSE state | request END;
