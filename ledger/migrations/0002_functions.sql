-- What a batch asks first: the answer already given to each key (a row of a key), the snapshot of each
-- stream, and parts that lie beside snapshots (with the version of the snapshot; null where the part has no
-- row), numbered on from the snapshots. Rows come back with their ordinal, never by position. Whoever calls these
-- functions pins plans to index look-ups (database.PINNED), because before the first analyze a hash
-- join over whole tables would be chosen; SET on the functions would cost as much as a look-up, and
-- keep this one from being inlined.
CREATE FUNCTION load_batch(p_keys text[], p_key_buckets smallint[],
                           p_streams text[], p_stream_buckets smallint[],
                           q_streams text[], q_buckets smallint[], q_parts text[])
RETURNS TABLE (of_key boolean, ord bigint, number bigint, bucket smallint, fold text,
               said bytea, digest bytea)
LANGUAGE sql STABLE
AS $$
    SELECT true, k.ord, c.position, c.bucket, NULL, c.response, c.digest
    FROM unnest(p_keys, p_key_buckets) WITH ORDINALITY k(key, bucket, ord)
    JOIN ledger.command_log c ON c.key = k.key AND c.bucket = k.bucket
    UNION ALL
    SELECT false, s.ord, h.version, h.bucket, h.fold, h.state, NULL
    FROM unnest(p_streams, p_stream_buckets) WITH ORDINALITY s(stream, bucket, ord)
    JOIN ledger.snapshots h ON h.originator_id = s.stream AND h.bucket = s.bucket
    UNION ALL
    SELECT false, cardinality(p_streams) + q.ord, h.version, h.bucket, p.fold, p.state, NULL
    FROM unnest(q_streams, q_buckets, q_parts) WITH ORDINALITY q(stream, bucket, part, ord)
    JOIN ledger.snapshots h ON h.originator_id = q.stream AND h.bucket = q.bucket
    LEFT JOIN ledger.snapshot_parts p
        ON p.originator_id = q.stream AND p.part = q.part AND p.bucket = q.bucket
$$;

-- Takes the lanes, one after the other in their order, for as long as the transaction lasts.
CREATE FUNCTION take_lanes(p_buckets smallint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    lane smallint;
BEGIN
    FOR lane IN SELECT DISTINCT b FROM unnest(p_buckets) b ORDER BY b LOOP
        PERFORM FROM ledger.log_end h WHERE h.bucket = lane FOR UPDATE;
    END LOOP;
END $$;

-- Refuses (CL001) if a stream that a command of this lane only read has moved on. Whoever would change
-- it waits: he takes all lanes, and this one is in hand.
CREATE FUNCTION check_reads(r_stream text[], r_bucket smallint[], r_version bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    moved text;
BEGIN
    SELECT r.stream INTO moved
    FROM unnest(r_stream, r_bucket, r_version) r(stream, bucket, version)
    LEFT JOIN ledger.snapshots h ON h.originator_id = r.stream AND h.bucket = r.bucket
    WHERE coalesce(h.version, 0) <> r.version
    LIMIT 1;
    IF moved IS NOT NULL THEN
        RAISE EXCEPTION 'a stream has moved on' USING ERRCODE = 'CL001';
    END IF;
END $$;

-- A batch as it is appended, live or by an import or by the library: ledger/batches.py makes it.
CREATE TYPE batch AS (
    -- The clock of whoever decided it; null: he has none, and the database's is taken.
    now timestamptz,
    -- The lanes, each with how many events it gets: 0 where only reference data is written.
    l_bucket smallint[], l_events bigint[],
    -- The streams that were only read, in the reader's lane, at the version at which they were.
    r_stream text[], r_bucket smallint[], r_version bigint[],
    -- The snapshots written: version before (0: none) and after, what folded the state, the state after.
    h_stream text[], h_bucket smallint[], h_before bigint[], h_after bigint[], h_fold text[],
    h_state bytea[],
    -- The parts written that lie beside their snapshots.
    q_stream text[], q_bucket smallint[], q_part text[], q_fold text[], q_state bytea[],
    -- The events. e_offset counts from 1 in each lane; e_recorded is empty, but for a demo.
    e_stream text[], e_bucket smallint[], e_version bigint[], e_offset bigint[], e_topic text[],
    e_state bytea[], e_recorded timestamptz[],
    -- The commands answered, each in the lane of its first stream. c_offset is that of its last
    -- event there (0: none), c_undated 1 where it named no time and happens now.
    c_key text[], c_digest bytea[], c_bucket smallint[], c_offset bigint[], c_response bytea[],
    c_asked bytea[], c_undated smallint[],
    -- Lines of a file as they were asked.
    f_key text[], f_bucket smallint[], f_first_line bigint[], f_lines bigint[], f_facts bigint[],
    f_content bytea[],
    -- What is told of people: keep_persons opens it. Null: nothing.
    sealed bytea
);

-- Appends a batch: all of it or nothing. Nothing else writes events, snapshots or answers.
-- Returns the position of each lane before the batch.
-- SQLSTATE CL001: a snapshot was not as expected. 23505: a stream or a key is there already.
CREATE FUNCTION append_batch(b batch) RETURNS TABLE (bucket smallint, base bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    at_hand CONSTANT timestamptz := coalesce(b.now, ledger.ledger_clock());
    bases bigint[];
    floors timestamptz[];  -- recorded times never go back in a lane, whatever the clocks say
    stamps timestamptz[];
    ahead timestamptz;
    stamp timestamptz;
    lane record;
    done bigint;
    wrote bigint;
BEGIN
    FOR lane IN SELECT * FROM unnest(b.l_bucket, b.l_events) l(bucket, events) ORDER BY l.bucket
    LOOP
        SELECT a.base, a.floor, a.stamp INTO STRICT done, ahead, stamp
        FROM ledger.advance_lane(lane.bucket, lane.events, at_hand) a;
        bases[lane.bucket] := done;
        floors[lane.bucket] := ahead;
        stamps[lane.bucket] := stamp;
    END LOOP;

    IF cardinality(b.r_stream) > 0 THEN
        PERFORM ledger.check_reads(b.r_stream, b.r_bucket, b.r_version);
    END IF;

    UPDATE ledger.snapshots h SET version = i.after, state = i.state, fold = i.fold
    FROM unnest(b.h_stream, b.h_bucket, b.h_before, b.h_after, b.h_state, b.h_fold)
        i(stream, bucket, before, after, state, fold)
    WHERE i.before > 0 AND h.originator_id = i.stream AND h.bucket = i.bucket
        AND h.version = i.before;
    GET DIAGNOSTICS wrote = ROW_COUNT;
    IF 0 = ANY (b.h_before) THEN
        INSERT INTO ledger.snapshots (originator_id, bucket, version, fold, state)
        SELECT i.stream, i.bucket, i.after, i.fold, i.state
        FROM unnest(b.h_stream, b.h_bucket, b.h_before, b.h_after, b.h_state, b.h_fold)
            i(stream, bucket, before, after, state, fold)
        WHERE i.before = 0;
        GET DIAGNOSTICS done = ROW_COUNT;
        wrote := wrote + done;
    END IF;
    IF wrote <> cardinality(b.h_stream) THEN
        RAISE EXCEPTION 'a stream has moved on' USING ERRCODE = 'CL001';
    END IF;

    IF cardinality(b.q_stream) > 0 THEN
        INSERT INTO ledger.snapshot_parts AS p (originator_id, bucket, part, fold, state)
        SELECT * FROM unnest(b.q_stream, b.q_bucket, b.q_part, b.q_fold, b.q_state)
        ON CONFLICT (originator_id, part, bucket) DO UPDATE
        SET fold = excluded.fold, state = excluded.state;
    END IF;

    IF cardinality(b.c_key) > 0 THEN
        INSERT INTO ledger.command_log (key, digest, bucket, position, response, asked, decided_at)
        SELECT i.key, i.digest, i.bucket,
            CASE WHEN i.off = 0 THEN 0 ELSE bases[i.bucket] + i.off END, i.response, i.asked,
            CASE WHEN i.undated = 1 THEN at_hand END
        FROM unnest(b.c_key, b.c_digest, b.c_bucket, b.c_offset, b.c_response, b.c_asked,
            b.c_undated) i(key, digest, bucket, off, response, asked, undated);
    END IF;

    IF cardinality(b.f_key) > 0 THEN
        INSERT INTO ledger.file_lines (key, bucket, first_line, lines, facts, content)
        SELECT * FROM unnest(b.f_key, b.f_bucket, b.f_first_line, b.f_lines, b.f_facts,
            b.f_content);
    END IF;

    INSERT INTO ledger.stored_events (bucket, originator_id, originator_version, topic, state,
                               notification_id, recorded_at)
    SELECT i.bucket, i.stream, i.version, i.topic, i.state, bases[i.bucket] + i.off,
        greatest(coalesce(i.recorded, stamps[i.bucket]), floors[i.bucket])
    FROM unnest(b.e_bucket, b.e_stream, b.e_version, b.e_topic, b.e_state, b.e_offset,
        b.e_recorded) i(bucket, stream, version, topic, state, off, recorded);

    IF b.sealed IS NOT NULL THEN
        PERFORM ledger.keep_persons(b.sealed);
    END IF;

    NOTIFY clubledger;
    RETURN QUERY SELECT l, bases[l] FROM unnest(b.l_bucket) l;
END $$;
