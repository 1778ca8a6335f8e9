-- Webhooks: what their messages are signed with, and how far each program elsewhere was told. The
-- log holds the subscriptions themselves; nothing that appends knows of these tables.

-- A secret by its number in the webhook's own stream, AES-256-GCM bound to its place here.
CREATE TABLE webhook_secrets (
    bucket smallint NOT NULL,
    webhook_id text NOT NULL,
    number integer NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (webhook_id, number, bucket)
);

-- How far a webhook is in a lane: every event up to `position` was taken, is a dead letter, or was
-- not wanted. `tries` are of the next one, which is not sent before `due_at`; `cause` is why the
-- last of them failed. One that is stopped is sent nothing until it is resumed; `resumption` is the
-- last that it has followed. `taken` and `failed` count for good.
CREATE TABLE webhook_lanes (
    bucket smallint NOT NULL,
    webhook_id text NOT NULL,
    position bigint NOT NULL,
    resumption integer NOT NULL,
    tries integer NOT NULL,
    due_at timestamptz NOT NULL,
    failing_since timestamptz,
    stopped_at timestamptz,
    cause text NOT NULL,
    taken bigint NOT NULL,
    failed bigint NOT NULL,
    PRIMARY KEY (webhook_id, bucket)
);

-- An event that a webhook was given up on; `due`: it is to be told once more.
CREATE TABLE webhook_dead_letters (
    bucket smallint NOT NULL,
    webhook_id text NOT NULL,
    position bigint NOT NULL,
    died_at timestamptz NOT NULL,
    tries integer NOT NULL,
    cause text NOT NULL,
    due boolean NOT NULL DEFAULT false,
    PRIMARY KEY (webhook_id, position, bucket)
);
