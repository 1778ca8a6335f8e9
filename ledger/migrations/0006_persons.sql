-- People, apart from the log.

-- What identifies a person: never in an event. A row a telling, beside the event of this version of
-- the member's stream; it holds from `occurred_at`. Null: it said nothing of this; empty: it took it
-- away.
CREATE TABLE persons (
    bucket smallint NOT NULL,
    member_id text NOT NULL,
    name text,
    phone text,  -- in its one spelling: domain/phones.py
    stream_version integer NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (member_id, stream_version, bucket)
);
CREATE INDEX persons_phone ON persons (phone) WHERE phone <> '';

-- Keeps what a batch tells of people. It comes as one value, which ledger/persons.py makes: nothing
-- between there and here knows what is in it.
CREATE FUNCTION keep_persons(p_sealed bytea) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger.persons (bucket, member_id, name, phone, stream_version, occurred_at)
    SELECT p.bucket, p.member_id, p.name, p.phone, p.stream_version, p.occurred_at
    FROM json_populate_recordset(NULL::ledger.persons, convert_from(p_sealed, 'UTF8')::json) p
$$;
