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
