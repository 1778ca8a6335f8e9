-- What the eventsourcing library's recorder appends goes through the same row as all the rest.
-- Its streams get heads that name no fold, so that a rule that meets one folds it from its events.
CREATE FUNCTION append_events(
    p_bucket smallint, p_stream text[], p_version bigint[], p_topic text[], p_state bytea[]
) RETURNS SETOF bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    base bigint;
    stamp timestamptz;
BEGIN
    UPDATE log_head h
    SET position = h.position + cardinality(p_stream),
        recorded_at = greatest(h.recorded_at, ledger_clock())
    WHERE h.bucket = p_bucket
    RETURNING h.position - cardinality(p_stream), h.recorded_at INTO STRICT base, stamp;

    INSERT INTO stored_events (bucket, originator_id, originator_version, topic, state,
                               notification_id, recorded_at)
    SELECT p_bucket, i.stream, i.version, i.topic, i.state, base + i.ord, stamp
    FROM unnest(p_stream, p_version, p_topic, p_state)
        WITH ORDINALITY i(stream, version, topic, state, ord);

    INSERT INTO stream_head (originator_id, bucket, version, fold, state)
    SELECT i.stream, p_bucket, max(i.version), '', ''
    FROM unnest(p_stream, p_version) i(stream, version)
    GROUP BY i.stream
    ON CONFLICT (originator_id) DO UPDATE
    SET version = greatest(stream_head.version, excluded.version), fold = '';

    NOTIFY clubledger;
    RETURN QUERY SELECT generate_series(base + 1, base + cardinality(p_stream));
END $$;

-- One lane as a log of its own: an application of the library reads `lane_2_events`.
CREATE FUNCTION create_lanes(p_buckets integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR b IN 0 .. p_buckets - 1 LOOP
        EXECUTE format(
            'CREATE VIEW %I AS SELECT * FROM stored_events WHERE bucket = %s',
            'lane_' || b || '_events', b
        );
    END LOOP;
END $$;
