-- The recorded clock may not run away. Recorded times never go back, so one append under a clock that
-- is ten years ahead would date everything after it ten years ahead.

-- The database's clock as this installation reads it: a demo's goes at an offset.
CREATE FUNCTION ledger_clock() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT clock_timestamp() + make_interval(secs => coalesce(
        (SELECT value::int FROM ledger.ledger_meta WHERE name = 'clock_offset_s'), 0))
$$;

-- Refuses (CL003) whose clock is more than a minute ahead of the database's.
CREATE FUNCTION check_clock(p_now timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    here CONSTANT timestamptz := ledger.ledger_clock();
BEGIN
    IF p_now > here + interval '1 minute' THEN
        RAISE EXCEPTION 'the clock is ahead of the database''s' USING ERRCODE = 'CL003',
            DETAIL = json_build_object('now', p_now, 'database_now', here);
    END IF;
    RETURN true;
END $$;

-- Refuses (CL004) while the last recorded time is more than a minute ahead of every clock, unless an
-- operator has said that it is to stand still until then.
CREATE FUNCTION check_recorded(p_recorded timestamptz, p_now timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    here CONSTANT timestamptz := ledger.ledger_clock();
BEGIN
    IF p_recorded > greatest(p_now, here) + interval '1 minute' AND p_recorded > coalesce(
        (SELECT value::timestamptz FROM ledger.ledger_meta WHERE name = 'recorded_ahead_until'),
        '-infinity')
    THEN
        RAISE EXCEPTION 'the log is ahead of every clock' USING ERRCODE = 'CL004',
            DETAIL = json_build_object('recorded_at', p_recorded, 'database_now', here);
    END IF;
    RETURN true;
END $$;

-- Whatever appends moves a lane's row, and by this function alone: it holds the row until the commit,
-- gives as many positions as there are events (`base` is the last one before them) and the recorded
-- time of these, which is never before the last one there, `floor`. If it is that, it is the log that
-- may be ahead.
CREATE FUNCTION advance_lane(
    p_bucket smallint, p_events bigint, p_now timestamptz,
    OUT base bigint, OUT floor timestamptz, OUT stamp timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT h.position, h.recorded_at, greatest(h.recorded_at, p_now) INTO STRICT base, floor, stamp
    FROM ledger.log_end h WHERE h.bucket = p_bucket FOR UPDATE;
    UPDATE ledger.log_end h SET position = base + p_events, recorded_at = stamp
    WHERE h.bucket = p_bucket;
    IF p_events = 0 THEN
        RETURN;
    ELSIF stamp > floor THEN
        PERFORM ledger.check_clock(stamp);
    ELSE
        PERFORM ledger.check_recorded(stamp, '-infinity');
    END IF;
END $$;
