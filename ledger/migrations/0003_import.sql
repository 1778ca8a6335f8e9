-- Imports fill these staging tables by COPY and move them into the log in one statement each.
-- They are temporary: one set a session, emptied at commit, never written to the WAL.
CREATE FUNCTION stage_import() RETURNS void LANGUAGE sql AS $$
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_events (
        bucket smallint, stream text, version bigint, topic text, state bytea,
        lane_offset bigint, recorded_at timestamptz
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_heads (
        stream text, bucket smallint, before bigint, after bigint, state bytea,
        fold text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_commands (
        key text, digest bytea, bucket smallint, lane_offset bigint, response bytea
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_persons (
        member_id text, name text, phone text
    ) ON COMMIT DELETE ROWS;
$$;

-- Moves what is staged into the log, with the lanes in hand. The same law as append_batch: all
-- of it or nothing, by expected versions (CL001) and unanswered keys (CL002).
CREATE FUNCTION append_staged(r_stream text[], r_version bigint[])
RETURNS TABLE (bucket smallint, base bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    bases bigint[];
    floors timestamptz[];  -- recorded times never go back: live commands may have come meanwhile
    lane record;
    staged bigint;
    updated bigint;
    inserted bigint;
BEGIN
    PERFORM take_lanes(array_agg(DISTINCT s.bucket)) FROM staged_events s;
    FOR lane IN
        SELECT h.bucket, h.position, h.recorded_at, s.events, s.latest
        FROM log_head h
        JOIN (SELECT s.bucket, count(*) AS events, max(s.recorded_at) AS latest
              FROM staged_events s GROUP BY s.bucket) s ON s.bucket = h.bucket
    LOOP
        bases[lane.bucket] := lane.position;
        floors[lane.bucket] := lane.recorded_at;
        UPDATE log_head h
        SET position = h.position + lane.events,
            recorded_at = greatest(h.recorded_at, lane.latest)
        WHERE h.bucket = lane.bucket;
    END LOOP;

    IF cardinality(r_stream) > 0 THEN
        PERFORM check_reads(r_stream, r_version);
    END IF;

    SELECT count(*) INTO staged FROM staged_heads;
    UPDATE stream_head h SET version = s.after, state = s.state, fold = s.fold
    FROM staged_heads s
    WHERE s.before > 0 AND h.originator_id = s.stream AND h.version = s.before;
    GET DIAGNOSTICS updated = ROW_COUNT;
    INSERT INTO stream_head (originator_id, bucket, version, fold, state)
    SELECT s.stream, s.bucket, s.after, s.fold, s.state FROM staged_heads s WHERE s.before = 0
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF updated + inserted <> staged THEN
        RAISE EXCEPTION 'a stream has moved on' USING ERRCODE = 'CL001';
    END IF;

    SELECT count(*) INTO staged FROM staged_commands;
    INSERT INTO command_log (key, digest, bucket, position, response)
    SELECT s.key, s.digest, s.bucket,
        CASE WHEN s.lane_offset = 0 THEN 0 ELSE bases[s.bucket] + s.lane_offset END, s.response
    FROM staged_commands s
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted <> staged THEN
        RAISE EXCEPTION 'a key was answered meanwhile' USING ERRCODE = 'CL002';
    END IF;

    INSERT INTO stored_events (bucket, originator_id, originator_version, topic, state,
                               notification_id, recorded_at)
    SELECT s.bucket, s.stream, s.version, s.topic, s.state, bases[s.bucket] + s.lane_offset,
        greatest(s.recorded_at, floors[s.bucket])
    FROM staged_events s;

    INSERT INTO persons (member_id, name, phone)
    SELECT DISTINCT ON (member_id) member_id, name, phone FROM staged_persons
    ON CONFLICT (member_id) DO UPDATE SET name = excluded.name, phone = excluded.phone;

    NOTIFY clubledger;
    RETURN QUERY SELECT h.bucket, bases[h.bucket] FROM log_head h;
END $$;
