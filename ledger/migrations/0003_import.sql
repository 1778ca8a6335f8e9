-- An import is a sequence of batches: they are staged while it is decided, without holding anything,
-- and appended in one transaction. The table is temporary (never written to the WAL), and nothing in
-- it is compressed, for it is read once.
CREATE FUNCTION stage_import() RETURNS void LANGUAGE sql AS $$
    CREATE TEMPORARY TABLE staged_batches (
        turn integer PRIMARY KEY, batch ledger.batch NOT NULL
    ) ON COMMIT DROP;
    ALTER TABLE pg_temp.staged_batches ALTER COLUMN batch SET STORAGE EXTERNAL
$$;

-- Appends what is staged, one after the other, with these lanes in hand.
CREATE FUNCTION append_staged(p_buckets smallint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    staged record;
BEGIN
    PERFORM ledger.take_lanes(p_buckets);
    FOR staged IN SELECT s.batch FROM pg_temp.staged_batches s ORDER BY s.turn LOOP
        PERFORM ledger.append_batch(staged.batch);
    END LOOP;
END $$;
