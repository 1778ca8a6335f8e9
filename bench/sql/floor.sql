-- The least that a durable debit can do: one row changed, one event added, one commit.
-- f_debit_once also keeps an idempotency key with a digest and an answer, as the ledger does.
CREATE TABLE f_balance (
    member_id integer PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0),
    version bigint NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE f_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id integer NOT NULL,
    version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ON f_event (stream_id, version);
CREATE TABLE f_command (
    key text PRIMARY KEY,
    digest bytea NOT NULL,
    response bytea NOT NULL
);

CREATE FUNCTION f_debit(m integer, x bigint, s bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    b bigint;
    v bigint;
BEGIN
    UPDATE f_balance SET balance = balance - x, version = version + 1
    WHERE member_id = m AND balance >= x
    RETURNING balance, version INTO b, v;
    IF NOT FOUND THEN RETURN NULL; END IF;
    INSERT INTO f_event (stream_id, version, topic, state) VALUES (m, v, 'PointsDebited', s);
    RETURN b;
END $$;

CREATE FUNCTION f_debit_once(k text, d bytea, m integer, x bigint, s bytea) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO f_command VALUES (k, d, '\x7b2276697369742270312c22706f696e7473223a317d')
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN NULL; END IF;
    RETURN f_debit(m, x, s);
END $$;
