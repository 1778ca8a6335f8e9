-- What proves who somebody is, apart from the log: hashes alone, never what was shown.

-- A secret of an API key, by its number in the key's own stream. It opens nothing by itself: the key
-- must say that this number holds. Rows stay, so that a number never proves anything else.
CREATE TABLE credentials (
    bucket smallint NOT NULL,
    holder text NOT NULL,  -- the stream of who has it: apikey:<id>
    number integer NOT NULL,
    hash bytea NOT NULL,  -- SHA-256 of 256 random bits: nothing to guess, so nothing to slow down
    made_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,  -- to a minute
    PRIMARY KEY (holder, number, bucket)
);
