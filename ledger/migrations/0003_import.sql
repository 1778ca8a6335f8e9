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
        key text, digest bytea, bucket smallint, lane_offset bigint, response bytea, asked bytea
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_lines (
        bucket smallint, key text, first_line bigint, lines integer, facts integer,
        content bytea
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_persons (
        bucket smallint, member_id text, version bigint, at timestamptz, name text, phone text
    ) ON COMMIT DELETE ROWS;
$$;

-- Moves what is staged into the log, with the lanes in hand. The same law as append_batch: all
-- of it or nothing, by expected versions (CL001) and unanswered keys (23505).
CREATE FUNCTION append_staged(r_stream text[], r_bucket smallint[], r_version bigint[])
RETURNS TABLE (bucket smallint, base bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    bases bigint[];
    floors timestamptz[];  -- recorded times never go back: live commands may have come meanwhile
    ahead timestamptz;
    done bigint;
    lane record;
    staged bigint;
    updated bigint;
    inserted bigint;
BEGIN
    PERFORM ledger.take_lanes(array_agg(s.bucket)) FROM (
        SELECT bucket FROM staged_events UNION SELECT bucket FROM staged_heads
    ) s;
    FOR lane IN
        SELECT s.bucket, count(*) AS events, max(s.recorded_at) AS latest
        FROM staged_events s GROUP BY s.bucket
    LOOP
        SELECT a.base, a.floor INTO STRICT done, ahead
        FROM ledger.advance_lane(lane.bucket, lane.events, lane.latest) a;
        bases[lane.bucket] := done;
        floors[lane.bucket] := ahead;
    END LOOP;

    IF cardinality(r_stream) > 0 THEN
        PERFORM ledger.check_reads(r_stream, r_bucket, r_version);
    END IF;

    SELECT count(*) INTO staged FROM staged_heads;
    UPDATE ledger.stream_head h SET version = s.after, state = s.state, fold = s.fold
    FROM staged_heads s
    WHERE s.before > 0 AND h.originator_id = s.stream AND h.bucket = s.bucket
        AND h.version = s.before;
    GET DIAGNOSTICS updated = ROW_COUNT;
    INSERT INTO ledger.stream_head (originator_id, bucket, version, fold, state)
    SELECT s.stream, s.bucket, s.after, s.fold, s.state FROM staged_heads s WHERE s.before = 0;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF updated + inserted <> staged THEN
        RAISE EXCEPTION 'a stream has moved on' USING ERRCODE = 'CL001';
    END IF;

    INSERT INTO ledger.command_log (key, digest, bucket, position, response, asked)
    SELECT s.key, s.digest, s.bucket,
        CASE WHEN s.lane_offset = 0 THEN 0 ELSE bases[s.bucket] + s.lane_offset END, s.response,
        s.asked
    FROM staged_commands s;

    INSERT INTO ledger.file_lines (bucket, key, first_line, lines, facts, content)
    SELECT s.bucket, s.key, s.first_line, s.lines, s.facts, s.content FROM staged_lines s;

    INSERT INTO ledger.stored_events (bucket, originator_id, originator_version, topic, state,
                               notification_id, recorded_at)
    SELECT s.bucket, s.stream, s.version, s.topic, s.state, bases[s.bucket] + s.lane_offset,
        greatest(s.recorded_at, floors[s.bucket])
    FROM staged_events s;

    INSERT INTO ledger.persons (bucket, member_id, version, at, name, phone)
    SELECT s.bucket, s.member_id, s.version, s.at, s.name, s.phone FROM staged_persons s;

    NOTIFY clubledger;
    RETURN QUERY SELECT h.bucket, bases[h.bucket] FROM ledger.log_head h;
END $$;
