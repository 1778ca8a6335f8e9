-- Attempts to sign in at an identity provider that have begun a session: none begins two.
CREATE TABLE sign_ins (
    bucket smallint NOT NULL,
    attempt bytea NOT NULL,  -- SHA-256 of what a browser brought
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (attempt, bucket)
);
