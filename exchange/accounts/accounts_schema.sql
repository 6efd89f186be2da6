-- The accounts of the exchange's own people, version 1 (schema accounts_v1). No projection: nothing else has this, so it is
-- backed up, and never dropped. Roles aren't here: they are signed entries of the directory.

CREATE TABLE accounts (
    name       text COLLATE "C" NOT NULL PRIMARY KEY,
    full_name  text NOT NULL,
    password   text,                            -- argon2id, with its salt and parameters; null: logs in elsewhere
    issuer     text COLLATE "C",                -- of an OpenID provider, and who it is there
    subject    text COLLATE "C",
    created_ms bigint NOT NULL,
    closed_ms  bigint,                          -- null while it may be used; a name is never given again
    CHECK ((issuer IS NULL) = (subject IS NULL)),
    UNIQUE (issuer, subject)
);

CREATE TABLE sessions (
    token    bytea NOT NULL PRIMARY KEY,        -- SHA-256 of what the browser holds
    name     text COLLATE "C" NOT NULL REFERENCES accounts,
    method   text NOT NULL,                     -- password, openid
    began_ms bigint NOT NULL,
    seen_ms  bigint NOT NULL
);
CREATE INDEX ON sessions (name);

-- Failed attempts to log in, by the SHA-256 of whatever name was given: people type passwords there.
CREATE TABLE attempts (
    name            bytea NOT NULL PRIMARY KEY,
    failures        integer NOT NULL,
    last_ms         bigint NOT NULL,
    locked_until_ms bigint NOT NULL
);
CREATE INDEX ON attempts (last_ms);
