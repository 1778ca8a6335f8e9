-- What a batch asks first: the answer already given to each key (a row of a key) and the head of each
-- stream (a row of a head). Rows come back with their ordinal, never by position. Whoever calls these
-- functions pins plans to index look-ups (database.PINNED), because before the first analyze a hash
-- join over whole tables would be chosen; SET on the functions would cost as much as a look-up, and
-- keep this one from being inlined.
CREATE FUNCTION load_batch(p_keys text[], p_key_buckets smallint[],
                           p_streams text[], p_stream_buckets smallint[])
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
    JOIN ledger.stream_head h ON h.originator_id = s.stream AND h.bucket = s.bucket
$$;

-- Takes the lanes, one after the other in their order, for as long as the transaction lasts.
CREATE FUNCTION take_lanes(p_buckets smallint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    lane smallint;
BEGIN
    FOR lane IN SELECT DISTINCT b FROM unnest(p_buckets) b ORDER BY b LOOP
        PERFORM FROM ledger.log_head h WHERE h.bucket = lane FOR UPDATE;
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
    LEFT JOIN ledger.stream_head h ON h.originator_id = r.stream AND h.bucket = r.bucket
    WHERE coalesce(h.version, 0) <> r.version
    LIMIT 1;
    IF moved IS NOT NULL THEN
        RAISE EXCEPTION 'a stream has moved on' USING ERRCODE = 'CL001';
    END IF;
END $$;

-- Appends a whole batch: all of it or nothing.
--   l_*  the lanes, each with how many events it gets: 0 where only reference data is written
--   h_*  the heads written: version before (0: none) and after, the state after and what folded it
--   e_*  the events; e_offset counts from 1 in each lane
--   c_*  the commands answered, each in the lane of its first stream; c_offset is that of its last
--        event there (0: none), c_undated 1 where it named no time and happens now
--   r_*  the streams that were only read, in the reader's lane, at the version at which they were
--   p_*  personal data, kept apart
-- Returns the position of each lane before the batch.
-- SQLSTATE CL001: a head was not as expected. 23505: a stream or a key is there already.
CREATE FUNCTION append_batch(
    p_now timestamptz, h_fold text[],
    r_stream text[], r_bucket smallint[], r_version bigint[],
    l_bucket smallint[], l_events bigint[],
    h_stream text[], h_bucket smallint[], h_before bigint[], h_after bigint[], h_state bytea[],
    e_stream text[], e_bucket smallint[], e_version bigint[], e_offset bigint[], e_topic text[],
    e_state bytea[],
    c_key text[], c_digest bytea[], c_bucket smallint[], c_offset bigint[], c_response bytea[],
    c_asked bytea[], c_undated smallint[],
    p_bucket smallint[], p_member text[], p_version bigint[], p_at timestamptz[], p_name text[],
    p_phone text[]
) RETURNS TABLE (bucket smallint, base bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    bases bigint[];
    stamps timestamptz[];  -- recorded times never go back in a lane, whatever the clocks say
    stamp timestamptz;
    lane record;
    done bigint;
    wrote bigint;
BEGIN
    FOR lane IN SELECT * FROM unnest(l_bucket, l_events) l(bucket, events) ORDER BY l.bucket LOOP
        SELECT a.base, a.stamp INTO STRICT done, stamp
        FROM ledger.advance_lane(lane.bucket, lane.events, p_now) a;
        bases[lane.bucket] := done;
        stamps[lane.bucket] := stamp;
    END LOOP;

    IF cardinality(r_stream) > 0 THEN
        PERFORM ledger.check_reads(r_stream, r_bucket, r_version);
    END IF;

    UPDATE ledger.stream_head h SET version = i.after, state = i.state, fold = i.fold
    FROM unnest(h_stream, h_bucket, h_before, h_after, h_state, h_fold)
        i(stream, bucket, before, after, state, fold)
    WHERE i.before > 0 AND h.originator_id = i.stream AND h.bucket = i.bucket
        AND h.version = i.before;
    GET DIAGNOSTICS wrote = ROW_COUNT;
    IF 0 = ANY (h_before) THEN
        INSERT INTO ledger.stream_head (originator_id, bucket, version, fold, state)
        SELECT i.stream, i.bucket, i.after, i.fold, i.state
        FROM unnest(h_stream, h_bucket, h_before, h_after, h_state, h_fold)
            i(stream, bucket, before, after, state, fold)
        WHERE i.before = 0;
        GET DIAGNOSTICS done = ROW_COUNT;
        wrote := wrote + done;
    END IF;
    IF wrote <> cardinality(h_stream) THEN
        RAISE EXCEPTION 'a stream has moved on' USING ERRCODE = 'CL001';
    END IF;

    INSERT INTO ledger.command_log (key, digest, bucket, position, response, asked, decided_at)
    SELECT i.key, i.digest, i.bucket,
        CASE WHEN i.off = 0 THEN 0 ELSE bases[i.bucket] + i.off END, i.response, i.asked,
        CASE WHEN i.undated = 1 THEN p_now END
    FROM unnest(c_key, c_digest, c_bucket, c_offset, c_response, c_asked, c_undated)
        i(key, digest, bucket, off, response, asked, undated);

    INSERT INTO ledger.stored_events (bucket, originator_id, originator_version, topic, state,
                               notification_id, recorded_at)
    SELECT i.bucket, i.stream, i.version, i.topic, i.state, bases[i.bucket] + i.off,
        stamps[i.bucket]
    FROM unnest(e_bucket, e_stream, e_version, e_topic, e_state, e_offset)
        i(bucket, stream, version, topic, state, off);

    IF cardinality(p_member) > 0 THEN
        INSERT INTO ledger.persons (bucket, member_id, version, at, name, phone)
        SELECT * FROM unnest(p_bucket, p_member, p_version, p_at, p_name, p_phone);
    END IF;

    NOTIFY clubledger;
    RETURN QUERY SELECT l, bases[l] FROM unnest(l_bucket) l;
END $$;
