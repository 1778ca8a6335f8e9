-- People, apart from the log.

-- What identifies a person: never in an event. A row a telling, beside the event of this version of
-- the member's stream; it holds from `at`. Null: it said nothing of this; empty: it took it away.
CREATE TABLE persons (
    bucket smallint NOT NULL,
    member_id text NOT NULL,
    name text,
    phone text,  -- in its one spelling: domain/phones.py
    version integer NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (member_id, version, bucket)
);
CREATE INDEX persons_phone ON persons (phone) WHERE phone <> '';

-- Keeps what a batch tells of people. It comes as one value, which ledger/persons.py makes: nothing
-- between there and here knows what is in it.
CREATE FUNCTION keep_persons(p_sealed bytea) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger.persons (bucket, member_id, name, phone, version, at)
    SELECT p.bucket, p.member_id, p.name, p.phone, p.version, p.at
    FROM json_populate_recordset(NULL::ledger.persons, convert_from(p_sealed, 'UTF8')::json) p
$$;
