-- Runs that are to be requested; `run` is the body of POST /v1/runs, `id` its Idempotency-Key.
CREATE TABLE outbox (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  run jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  refused text
);
CREATE INDEX ON outbox (at) WHERE refused IS NULL;
