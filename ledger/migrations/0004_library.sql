-- What the eventsourcing library's recorder appends goes through the same row as all the rest.
-- Its streams get heads (h_*: a row a stream and lane) that name no fold, so that a rule that meets one
-- folds it from its events.
CREATE FUNCTION append_events(
    p_bucket smallint, p_stream text[], p_version bigint[], p_topic text[], p_state bytea[],
    h_stream text[], h_bucket smallint[]
) RETURNS SETOF bigint
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    base bigint;
    stamp timestamptz;
BEGIN
    PERFORM ledger.take_lanes(h_bucket);
    SELECT a.base, a.stamp INTO STRICT base, stamp
    FROM ledger.advance_lane(p_bucket, cardinality(p_stream), ledger.ledger_clock()) a;

    INSERT INTO ledger.stored_events (bucket, originator_id, originator_version, topic, state,
                               notification_id, recorded_at)
    SELECT p_bucket, i.stream, i.version, i.topic, i.state, base + i.ord, stamp
    FROM unnest(p_stream, p_version, p_topic, p_state)
        WITH ORDINALITY i(stream, version, topic, state, ord);

    INSERT INTO ledger.stream_head AS h (originator_id, bucket, version, fold, state)
    SELECT i.stream, r.bucket, max(i.version), '', ''
    FROM unnest(p_stream, p_version) i(stream, version)
    JOIN unnest(h_stream, h_bucket) r(stream, bucket) ON r.stream = i.stream
    GROUP BY 1, 2
    ON CONFLICT (originator_id, bucket) DO UPDATE
    SET version = greatest(h.version, excluded.version), fold = '';

    NOTIFY clubledger;
    RETURN QUERY SELECT generate_series(base + 1, base + cardinality(p_stream));
END $$;

-- One lane as a log of its own: an application of the library reads `lane_2_events`.
CREATE FUNCTION create_lanes(p_buckets integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR b IN 0 .. p_buckets - 1 LOOP
        EXECUTE format(
            'CREATE VIEW ledger.%I AS SELECT * FROM ledger.stored_events WHERE bucket = %s',
            'lane_' || b || '_events', b
        );
    END LOOP;
END $$;
