-- People, apart from the log, and encrypted.

-- The data key of each person, wrapped by a key-encryption key that is not in this database: its id
-- is `kek`. Erasing somebody deletes his row here; what is elsewhere, in backups too, stays shut.
CREATE TABLE person_keys (
    bucket smallint NOT NULL,
    member_id text NOT NULL,
    kek text NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (member_id, bucket)
);

-- What identifies a person: never in an event. A row a telling and field, beside the event of this
-- version of the member's stream; it holds from `occurred_at`. `sealed` is AES-256-GCM under his data
-- key, bound to the place of its row; empty: taken away. `blind` is what a field is looked up by, a
-- keyed digest.
CREATE TABLE persons (
    bucket smallint NOT NULL,
    member_id text NOT NULL,
    field text NOT NULL,
    stream_version integer NOT NULL,
    occurred_at timestamptz NOT NULL,
    sealed bytea NOT NULL,
    blind bytea,
    PRIMARY KEY (member_id, stream_version, field, bucket)
);
CREATE INDEX persons_blind ON persons (blind) WHERE blind IS NOT NULL;

-- Keeps what a batch tells of people, and forgets whom it erases. It comes as one value, which
-- ledger/log/persons.py makes: nothing between there and here knows what is in it. What was encrypted
-- before another key-encryption key took over is refused (CL001): who changes that holds all lanes, so
-- it cannot change any more.
CREATE FUNCTION keep_persons(p_sealed bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    told CONSTANT json := convert_from(p_sealed, 'UTF8')::json;
    wraps CONSTANT text := told ->> 'kek';  -- once: it reads all of it
BEGIN
    -- '' where nothing is encrypted.
    IF wraps NOT IN ('', (SELECT value FROM ledger.ledger_meta WHERE name = 'kek')) THEN
        RAISE EXCEPTION 'another key wraps by now' USING ERRCODE = 'CL001';
    END IF;
    INSERT INTO ledger.person_keys (bucket, member_id, kek, wrapped)
    SELECT k.bucket, k.member_id, wraps, k.wrapped
    FROM json_populate_recordset(NULL::ledger.person_keys, told -> 'keys') k;
    INSERT INTO ledger.persons (bucket, member_id, field, stream_version, occurred_at, sealed, blind)
    SELECT p.bucket, p.member_id, p.field, p.stream_version, p.occurred_at, p.sealed, p.blind
    FROM json_populate_recordset(NULL::ledger.persons, told -> 'rows') p;
    DELETE FROM ledger.persons p
    USING json_populate_recordset(NULL::ledger.persons, told -> 'erased') e
    WHERE p.member_id = e.member_id AND p.bucket = e.bucket;
    DELETE FROM ledger.person_keys k
    USING json_populate_recordset(NULL::ledger.persons, told -> 'erased') e
    WHERE k.member_id = e.member_id AND k.bucket = e.bucket;
END $$;

-- Puts keys under another key-encryption key, those that are still there under the one that they
-- had: who was erased meanwhile stays so. Returns how many.
CREATE FUNCTION rewrap_persons(p_members text[], p_buckets smallint[], p_before bytea[],
                               p_kek text, p_wrapped bytea[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    done bigint;
BEGIN
    UPDATE ledger.person_keys k SET kek = p_kek, wrapped = n.wrapped
    FROM unnest(p_members, p_buckets, p_before, p_wrapped) n(member_id, bucket, before, wrapped)
    WHERE k.member_id = n.member_id AND k.bucket = n.bucket AND k.wrapped = n.before;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

-- Gives up who those are whose keys these wrap, or (null) all: they are lost. What is told from now on
-- is kept.
CREATE FUNCTION give_up_persons(p_lost text[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM ledger.persons p
    WHERE p_lost IS NULL OR EXISTS (
        SELECT FROM ledger.person_keys k
        WHERE k.member_id = p.member_id AND k.bucket = p.bucket AND k.kek = ANY (p_lost)
    );
    DELETE FROM ledger.person_keys k WHERE p_lost IS NULL OR k.kek = ANY (p_lost);
$$;
