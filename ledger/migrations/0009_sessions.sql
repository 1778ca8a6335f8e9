-- Who signs in with a password, and from where he is signed in. As the credentials: hashes alone, and
-- they open nothing unless the user's own stream says that he may enter.

-- Argon2id, with its salt and what it cost: a password is guessable, so each guess is slow.
CREATE TABLE passwords (
    bucket smallint NOT NULL,
    holder text NOT NULL,  -- the stream of the user
    hash text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (holder, bucket)
);

-- What a browser holds. It ends by itself: some time after it was last seen, and for good some time
-- after it began.
CREATE TABLE sessions (
    bucket smallint NOT NULL,
    session_id text NOT NULL,
    holder text NOT NULL,  -- the stream of the user
    hash bytea NOT NULL,  -- SHA-256 of 256 random bits
    begun_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),  -- to a minute
    PRIMARY KEY (session_id, bucket)
);
CREATE INDEX sessions_holder ON sessions (holder);
