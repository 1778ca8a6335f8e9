-- Jobs: work that takes longer than a request may. A job belongs to who started it; the log holds what
-- came of it, if anything did, and nothing that appends knows of these tables. Whatever was brought or
-- told is encrypted under a key of the job's or file's own, which goes with its row.

-- `version` counts what was told of it. `attempt` counts how often it was begun: a process that dies
-- leaves it `running`, and whoever leads next begins it again. `asked` is the request, `told` what
-- came of it; `code` is that of the problem, if it failed.
CREATE TABLE jobs (
    job_id text PRIMARY KEY,
    owner text NOT NULL,
    actor text,
    kind text NOT NULL,
    key text NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    attempt integer NOT NULL DEFAULT 0,
    cancel_asked boolean NOT NULL DEFAULT false,
    made_at timestamptz NOT NULL DEFAULT now(),
    begun_at timestamptz,
    ended_at timestamptz,
    stage text NOT NULL DEFAULT '',
    done bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    code text NOT NULL DEFAULT '',
    sealed_key bytea NOT NULL,
    asked bytea NOT NULL,
    told bytea,
    UNIQUE (owner, key)
);
CREATE INDEX jobs_state ON jobs (state, made_at);

-- A file that was brought for a job (`number` null until a job takes it), or that one has made.
CREATE TABLE job_files (
    file_id text PRIMARY KEY,
    owner text NOT NULL,
    job_id text REFERENCES jobs ON DELETE CASCADE,
    made boolean NOT NULL,
    number integer,
    bytes bigint NOT NULL DEFAULT 0,
    chunks integer NOT NULL DEFAULT 0,
    made_at timestamptz NOT NULL DEFAULT now(),
    sealed_key bytea NOT NULL,
    about bytea  -- its name, media type and digest, of one that a job has made
);
CREATE INDEX job_files_job ON job_files (job_id, made, number);

CREATE TABLE job_chunks (
    file_id text NOT NULL REFERENCES job_files ON DELETE CASCADE,
    number integer NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (file_id, number)
);
