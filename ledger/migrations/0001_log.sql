-- The log, the snapshots of its streams, the commands that were answered, and the people apart.

-- The library's stored-events table plus a lane (bucket) and the time it was recorded.
-- notification_id is the position: gapless from 1 in each lane, in the order of commits.
CREATE TABLE stored_events (
    -- In an order that leaves no gaps, for this table is most of the bytes: eights, fours, twos, texts.
    notification_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    originator_version integer NOT NULL,
    bucket smallint NOT NULL DEFAULT 0,
    originator_id text NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (originator_id, originator_version, bucket)
) WITH (
    -- Rows never change, so vacuum only has to freeze; what a plan needs is analyzed often.
    autovacuum_vacuum_insert_scale_factor = 0.5,
    autovacuum_analyze_scale_factor = 0.02
);
-- Filled from the end and never changed: no page needs room.
CREATE UNIQUE INDEX stored_events_position ON stored_events (notification_id, bucket)
    WITH (fillfactor = 100);

-- One row a lane. Its lock is what makes commit order position order.
CREATE TABLE log_end (
    bucket smallint PRIMARY KEY,
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- The folded state of each stream, so that a command costs the same whatever its history. What many
-- read and few write (clubs, campaigns, ...) has one in each lane: database.lanes_of.
CREATE TABLE snapshots (
    originator_id text NOT NULL,
    bucket smallint NOT NULL,
    version bigint NOT NULL,
    fold text NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (originator_id, bucket)
) WITH (fillfactor = 60);

-- Parts of a state that few commands take: a row each, read and written for those alone. One that has
-- none is as it was before the first event. The version of the stream stands in its snapshot.
CREATE TABLE snapshot_parts (
    bucket smallint NOT NULL,
    originator_id text NOT NULL,
    part text NOT NULL,
    fold text NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (originator_id, part, bucket)
) WITH (fillfactor = 90);

-- Every command ever answered, by its idempotency key; kept for good. It stands in the lane of the
-- command's first stream, where a retry looks for it, and its position is one of that lane.
-- `asked` is the command as it was asked, without personal data; where it named no time, it was
-- decided for `decided_at`. A file's own row has no digest and asks for nothing: its lines do.
CREATE TABLE command_log (
    key text NOT NULL,
    digest bytea NOT NULL,
    bucket smallint NOT NULL,
    position bigint NOT NULL,
    response bytea NOT NULL,
    asked bytea NOT NULL DEFAULT '',
    decided_at timestamptz,
    PRIMARY KEY (key, bucket)
);

-- The lines of a file as they were asked, without personal data: some thousand a row, compressed by
-- zlib. One that was rejected or has a key of its own, whose row has it, is empty. It stands in
-- the lane of the file's key.
CREATE TABLE file_lines (
    bucket smallint NOT NULL,
    key text NOT NULL,
    first_line bigint NOT NULL,
    lines integer NOT NULL,
    facts integer NOT NULL,  -- those that are not empty
    content bytea NOT NULL,
    PRIMARY KEY (key, first_line, bucket)
);
ALTER TABLE file_lines ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE ledger_meta (
    name text PRIMARY KEY,
    value text NOT NULL
);
