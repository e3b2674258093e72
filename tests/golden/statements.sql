-- runs.create
WITH wished AS (
  SELECT w.*, greatest(w.available_at, clock_timestamp()) AS due
    FROM unnest(CAST(%(ids)s AS uuid[]), CAST(%(workflows)s AS text[]), CAST(%(inputs)s AS text[]),
      CAST(%(queues)s AS text[]), CAST(%(priorities)s AS smallint[]),
      CAST(%(available_ats)s AS timestamptz[]), CAST(%(max_failures)s AS smallint[]),
      CAST(%(max_crashes)s AS smallint[]), CAST(%(dedup_keys)s AS text[]),
      CAST(%(idempotency_keys)s AS text[]), CAST(%(request_hashes)s AS bytea[]),
      CAST(%(traceparents)s AS text[]), CAST(%(created_bys)s AS text[]), CAST(%(request_ids)s AS text[]))
      WITH ORDINALITY AS w(id, workflow, input, queue, priority, available_at, max_failures,
        max_crashes, dedup_key, idempotency_key, request_hash, traceparent, created_by,
        request_id, place)),
created AS (
  INSERT INTO "workflowRuns" AS r (
    id, workflow, queue, "stepQueue", "runState", priority, "availableAt", "claimKey",
    "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
    "maxFailures", "maxCrashes", fence, "dedupKey", "idempotencyKey", "requestHash",
    traceparent, "createdBy", "createdAt", version)
  SELECT id, workflow, queue, queue,
         CASE WHEN available_at > clock_timestamp() THEN 'scheduled'
              ELSE 'pending' END,
         priority, due, due - make_interval(secs => priority * 60),
         0, workflow, workflow, CAST(input AS jsonb), 0, 0, 0, 0, max_failures, max_crashes, 0,
         dedup_key, idempotency_key, request_hash, traceparent, created_by, clock_timestamp(), 1
    FROM wished ORDER BY idempotency_key, queue, workflow, dedup_key, place
  ON CONFLICT DO NOTHING
  RETURNING r.*),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "toState", "requestId", actor, detail)
  SELECT c.id, 1, 'created', c."createdAt", c."runState", w.request_id, c."createdBy", '{}'
    FROM created c JOIN wished w USING (id))
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM created c JOIN wished w USING (id) ORDER BY w.place;

-- runs.find
SELECT r."id" AS id, r."workflow" AS workflow, r."workflowVersion" AS workflow_version, r."queue" AS queue, r."stepQueue" AS step_queue, r."runState" AS run_state, r."priority" AS priority, r."availableAt" AS available_at, r."stepIndex" AS step_index, r."stepName" AS step_name, r."stepType" AS step_type, r."input" AS input, r."output" AS output, r."error" AS error, r."progress" AS progress, r."attempt" AS attempt, r."failures" AS failures, r."crashes" AS crashes, r."maxFailures" AS max_failures, r."maxCrashes" AS max_crashes, r."fence" AS fence, r."lockedBy" AS locked_by, r."lockedAt" AS locked_at, r."leaseExpiresAt" AS lease_expires_at, r."mutatingSince" AS mutating_since, r."abortRequestedAt" AS abort_requested_at, r."waitingFor" AS waiting_for, r."dedupKey" AS dedup_key, r."traceparent" AS traceparent, r."createdBy" AS created_by, r."createdAt" AS created_at, r."startedAt" AS started_at, r."finishedAt" AS finished_at, r."version" AS version FROM "workflowRuns" r WHERE r.id = %(run_id)s;

-- runs.find_by_idempotency_key
SELECT r."id" AS id, r."workflow" AS workflow, r."workflowVersion" AS workflow_version, r."queue" AS queue, r."stepQueue" AS step_queue, r."runState" AS run_state, r."priority" AS priority, r."availableAt" AS available_at, r."stepIndex" AS step_index, r."stepName" AS step_name, r."stepType" AS step_type, r."input" AS input, r."output" AS output, r."error" AS error, r."progress" AS progress, r."attempt" AS attempt, r."failures" AS failures, r."crashes" AS crashes, r."maxFailures" AS max_failures, r."maxCrashes" AS max_crashes, r."fence" AS fence, r."lockedBy" AS locked_by, r."lockedAt" AS locked_at, r."leaseExpiresAt" AS lease_expires_at, r."mutatingSince" AS mutating_since, r."abortRequestedAt" AS abort_requested_at, r."waitingFor" AS waiting_for, r."dedupKey" AS dedup_key, r."traceparent" AS traceparent, r."createdBy" AS created_by, r."createdAt" AS created_at, r."startedAt" AS started_at, r."finishedAt" AS finished_at, r."version" AS version, r."requestHash" AS request_hash FROM "workflowRuns" r
 WHERE r."createdBy" = %(created_by)s AND r."idempotencyKey" = %(key)s;

-- runs.find_live_by_dedup_key
SELECT r."id" AS id, r."workflow" AS workflow, r."workflowVersion" AS workflow_version, r."queue" AS queue, r."stepQueue" AS step_queue, r."runState" AS run_state, r."priority" AS priority, r."availableAt" AS available_at, r."stepIndex" AS step_index, r."stepName" AS step_name, r."stepType" AS step_type, r."input" AS input, r."output" AS output, r."error" AS error, r."progress" AS progress, r."attempt" AS attempt, r."failures" AS failures, r."crashes" AS crashes, r."maxFailures" AS max_failures, r."maxCrashes" AS max_crashes, r."fence" AS fence, r."lockedBy" AS locked_by, r."lockedAt" AS locked_at, r."leaseExpiresAt" AS lease_expires_at, r."mutatingSince" AS mutating_since, r."abortRequestedAt" AS abort_requested_at, r."waitingFor" AS waiting_for, r."dedupKey" AS dedup_key, r."traceparent" AS traceparent, r."createdBy" AS created_by, r."createdAt" AS created_at, r."startedAt" AS started_at, r."finishedAt" AS finished_at, r."version" AS version FROM "workflowRuns" r
 WHERE r.queue = %(queue)s AND r.workflow = %(workflow)s AND r."dedupKey" = %(dedup_key)s
   AND r."runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting');

-- runs.list_runs
SELECT "workflowRuns".id AS id, "workflowRuns".workflow AS workflow, "workflowRuns"."workflowVersion" AS workflow_version, "workflowRuns".queue AS queue, "workflowRuns"."stepQueue" AS step_queue, "workflowRuns"."runState" AS run_state, "workflowRuns".priority AS priority, "workflowRuns"."availableAt" AS available_at, "workflowRuns"."stepIndex" AS step_index, "workflowRuns"."stepName" AS step_name, "workflowRuns"."stepType" AS step_type, "workflowRuns".input AS input, "workflowRuns".output AS output, "workflowRuns".error AS error, "workflowRuns".progress AS progress, "workflowRuns".attempt AS attempt, "workflowRuns".failures AS failures, "workflowRuns".crashes AS crashes, "workflowRuns"."maxFailures" AS max_failures, "workflowRuns"."maxCrashes" AS max_crashes, "workflowRuns".fence AS fence, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."lockedAt" AS locked_at, "workflowRuns"."leaseExpiresAt" AS lease_expires_at, "workflowRuns"."mutatingSince" AS mutating_since, "workflowRuns"."abortRequestedAt" AS abort_requested_at, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns".traceparent AS traceparent, "workflowRuns"."createdBy" AS created_by, "workflowRuns"."createdAt" AS created_at, "workflowRuns"."startedAt" AS started_at, "workflowRuns"."finishedAt" AS finished_at, "workflowRuns".version AS version
FROM "workflowRuns"
WHERE %(param_1)s AND ("workflowRuns".queue = %(queue_1)s::VARCHAR OR ("workflowRuns".queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND "workflowRuns"."runState" IN (%(run_state_1_1)s::VARCHAR, %(run_state_1_2)s::VARCHAR) AND "workflowRuns".queue = %(queue_3)s::VARCHAR AND "workflowRuns".workflow = %(workflow_1)s::VARCHAR AND "workflowRuns"."lockedBy" = %(locked_by_1)s::VARCHAR AND "workflowRuns"."createdAt" > %(created_at_1)s::TIMESTAMP WITH TIME ZONE AND "workflowRuns".id < %(id_1)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_2)s::INTEGER;

-- events.events_of
SELECT seq, kind, at, "fromState" AS from_state, "toState" AS to_state, fence, executor, actor,
       "requestId" AS request_id, detail
  FROM "runEvents" WHERE "runId" = %(run_id)s ORDER BY seq;

-- steps.steps_of
SELECT "stepIndex" AS step_index, name, type, state, output, error, "startedAt" AS started_at,
       "finishedAt" AS finished_at
  FROM "workflowSteps" WHERE "runId" = %(run_id)s ORDER BY "stepIndex";

-- claim_requests.register
INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at)
SELECT q.*, clock_timestamp()
  FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(request_ids)s AS uuid[]),
    CAST(%(sessions)s AS uuid[]), CAST(%(body_hashes)s AS bytea[]))
    AS q(token_name, request_id, session, body_hash)
 ORDER BY q.token_name, q.request_id
ON CONFLICT ("tokenName", "requestId") DO NOTHING
RETURNING "tokenName", "requestId";

-- claim_requests.settle
UPDATE "claimRequests" SET "runIds" = %(run_ids)s, "leaseIds" = %(lease_ids)s
 WHERE "tokenName" = %(token_name)s AND "requestId" = %(request_id)s;

-- claim_requests.forget
DELETE FROM "claimRequests" WHERE "tokenName" = %(token_name)s AND "requestId" = %(request_id)s;

-- claim_requests.granted
SELECT "bodyHash", coalesce("runIds", '{}'), coalesce("leaseIds", '{}') FROM "claimRequests"
 WHERE "tokenName" = %(token_name)s AND "requestId" = %(request_id)s;

-- claim_requests.drop_old
DELETE FROM "claimRequests" c USING (
  SELECT "tokenName", "requestId" FROM "claimRequests"
   WHERE at < clock_timestamp() - interval '24 hours'
   ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) o
 WHERE c."tokenName" = o."tokenName" AND c."requestId" = o."requestId";

-- claims.claim
WITH wishes AS MATERIALIZED (
  SELECT w.*, row_number() OVER (ORDER BY turn, w.wish) AS place
    FROM unnest(CAST(%(limits)s AS integer[]), CAST(%(executors)s AS text[]),
      CAST(%(sessions)s AS uuid[]), CAST(%(lease_seconds)s AS integer[]), CAST(%(request_ids)s AS uuid[]),
      CAST(%(token_names)s AS text[]), CAST(%(answer_bytes)s AS integer[]))
      WITH ORDINALITY AS w(wanted, executor, session, lease_seconds, request_id, token_name,
                           answer_bytes, wish)
   CROSS JOIN LATERAL generate_series(1, w.wanted) AS turn
   WHERE NOT EXISTS (
       SELECT FROM executors e
        WHERE e."fullName" = w.executor AND e.session = w.session AND e.state <> 'active')),
candidates AS MATERIALIZED (
  SELECT r.id, r."claimKey",
         octet_length(r.input::text) + coalesce(octet_length(r."resumeInput"::text), 0) AS bytes
    FROM "workflowRuns" r
   WHERE r."stepQueue" = %(queue)s AND r."runState" = 'pending'
     AND NOT EXISTS (SELECT FROM queues q WHERE q.name = %(queue)s AND q.paused)
   ORDER BY r."claimKey", r.id LIMIT %(wanted)s FOR UPDATE OF r SKIP LOCKED),
numbered AS (
  SELECT id, bytes, row_number() OVER (ORDER BY "claimKey", id) AS place FROM candidates),
dealt AS MATERIALIZED (
  SELECT n.id, n.bytes, w.*,
         sum(n.bytes) OVER (PARTITION BY w.wish ORDER BY w.place) - n.bytes AS bytes_before
    FROM numbered n JOIN wishes w USING (place)),
leased AS (
  UPDATE "workflowRuns" r SET "runState" = 'loading',
      "leaseId" = gen_random_uuid(),
      fence = greatest(r.fence + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
      "lockedBy" = d.executor,
      "lockedSession" = d.session,
      "lockedAt" = clock_timestamp(),
      "leaseExpiresAt" = clock_timestamp() + make_interval(secs => d.lease_seconds),
      "leaseSeconds" = d.lease_seconds,
      attempt = r.attempt + 1, version = r.version + 1
    FROM dealt d
   WHERE r.id = d.id AND r."runState" = 'pending' AND d.bytes_before < d.answer_bytes
     AND r.id = ANY (ARRAY(SELECT id FROM dealt))
  RETURNING r.*, d.wish, d.place, d.bytes, d.request_id, d.token_name),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'claimed', "lockedAt", 'pending', "runState", "leaseId", fence,
         "lockedBy", request_id::text, token_name, '{}'
    FROM leased)
SELECT l.wish, l.bytes, l."id" AS id, l."workflow" AS workflow, l."workflowVersion" AS workflow_version, l."queue" AS queue, l."stepQueue" AS step_queue, l."runState" AS run_state, l."priority" AS priority, l."availableAt" AS available_at, l."stepIndex" AS step_index, l."stepName" AS step_name, l."stepType" AS step_type, l."input" AS input, l."resumeInput" AS resume_input, l."output" AS output, l."error" AS error, l."progress" AS progress, l."attempt" AS attempt, l."failures" AS failures, l."crashes" AS crashes, l."maxFailures" AS max_failures, l."maxCrashes" AS max_crashes, l."fence" AS fence, l."leaseId" AS lease_id, l."lockedBy" AS locked_by, l."lockedAt" AS locked_at, l."leaseExpiresAt" AS lease_expires_at, l."leaseSeconds" AS lease_seconds, l."mutatingSince" AS mutating_since, l."abortRequestedAt" AS abort_requested_at, l."waitingFor" AS waiting_for, l."dedupKey" AS dedup_key, l."traceparent" AS traceparent, l."createdBy" AS created_by, l."createdAt" AS created_at, l."startedAt" AS started_at, l."finishedAt" AS finished_at, l."version" AS version FROM leased l ORDER BY l.place;

-- claims.claim_run
WITH candidates AS MATERIALIZED (
  SELECT r.id, r."runState" AS was
    FROM "workflowRuns" r
   WHERE r.id = %(run_id)s
     AND CASE WHEN CAST(%(input)s AS text) IS NULL THEN r."runState" = 'pending'
         ELSE r."runState" = 'waiting'
              AND r."waitingFor"->>'reason' = 'input' END
     AND NOT EXISTS (SELECT FROM queues q WHERE q.name = r."stepQueue" AND q.paused)
   FOR UPDATE OF r),
dealt AS (
  SELECT c.*, w.*
    FROM candidates c
   CROSS JOIN (SELECT CAST(%(executor)s AS text) AS executor, CAST(%(session)s AS uuid) AS session,
                      CAST(%(lease_seconds)s AS integer) AS lease_seconds) w
   WHERE NOT EXISTS (
       SELECT FROM executors e
        WHERE e."fullName" = w.executor AND e.session = w.session AND e.state <> 'active')),
leased AS (
  UPDATE "workflowRuns" r SET "runState" = 'loading',
      "leaseId" = gen_random_uuid(),
      fence = greatest(r.fence + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
      "lockedBy" = d.executor,
      "lockedSession" = d.session,
      "lockedAt" = clock_timestamp(),
      "leaseExpiresAt" = clock_timestamp() + make_interval(secs => d.lease_seconds),
      "leaseSeconds" = d.lease_seconds,
      attempt = r.attempt + 1,
      "waitingFor" = NULL,
      "availableAt" = CASE d.was WHEN 'waiting' THEN clock_timestamp()
                      ELSE r."availableAt" END,
      "resumeInput" = CASE d.was WHEN 'waiting' THEN CAST(%(input)s AS jsonb)
                      ELSE r."resumeInput" END,
      version = r.version + CASE d.was WHEN 'waiting' THEN 2 ELSE 1 END
    FROM dealt d
   WHERE r.id = d.id AND r."runState" = d.was
  RETURNING r.*, d.was),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version - 1, 'resumed', "lockedAt", was, 'pending', NULL, NULL, NULL,
         %(request_id)s, %(token_name)s, jsonb_build_object('stepIndex', "stepIndex")
    FROM leased WHERE was = 'waiting'
  UNION ALL
  SELECT id, version, 'claimed', "lockedAt", 'pending', "runState", "leaseId", fence,
         "lockedBy", %(request_id)s, %(token_name)s, '{}'
    FROM leased)
SELECT l."id" AS id, l."workflow" AS workflow, l."workflowVersion" AS workflow_version, l."queue" AS queue, l."stepQueue" AS step_queue, l."runState" AS run_state, l."priority" AS priority, l."availableAt" AS available_at, l."stepIndex" AS step_index, l."stepName" AS step_name, l."stepType" AS step_type, l."input" AS input, l."resumeInput" AS resume_input, l."output" AS output, l."error" AS error, l."progress" AS progress, l."attempt" AS attempt, l."failures" AS failures, l."crashes" AS crashes, l."maxFailures" AS max_failures, l."maxCrashes" AS max_crashes, l."fence" AS fence, l."leaseId" AS lease_id, l."lockedBy" AS locked_by, l."lockedAt" AS locked_at, l."leaseExpiresAt" AS lease_expires_at, l."leaseSeconds" AS lease_seconds, l."mutatingSince" AS mutating_since, l."abortRequestedAt" AS abort_requested_at, l."waitingFor" AS waiting_for, l."dedupKey" AS dedup_key, l."traceparent" AS traceparent, l."createdBy" AS created_by, l."createdAt" AS created_at, l."startedAt" AS started_at, l."finishedAt" AS finished_at, l."version" AS version FROM leased l;

-- claims.still_held
WITH granted AS (
  SELECT * FROM unnest(CAST(%(run_ids)s AS uuid[]), CAST(%(lease_ids)s AS uuid[]))
    WITH ORDINALITY AS g(run_id, lease_id, place)),
held AS MATERIALIZED (
  SELECT g.* FROM granted g JOIN "workflowRuns" r ON r.id = g.run_id
   WHERE r."leaseId" = g.lease_id AND split_part(r."lockedBy", ':', 1) = %(token_name)s
   ORDER BY r.id FOR UPDATE OF r),
refreshed AS (
  UPDATE "workflowRuns" r SET
      "leaseExpiresAt" = least(clock_timestamp() + make_interval(secs => CAST(%(lease_seconds)s AS integer)),
        r."abortRequestedAt" + make_interval(secs => r."leaseSeconds"))
    FROM held h
   WHERE r.id = h.run_id AND r."leaseId" = h.lease_id
  RETURNING r.*, h.place)
SELECT f."id" AS id, f."workflow" AS workflow, f."workflowVersion" AS workflow_version, f."queue" AS queue, f."stepQueue" AS step_queue, f."runState" AS run_state, f."priority" AS priority, f."availableAt" AS available_at, f."stepIndex" AS step_index, f."stepName" AS step_name, f."stepType" AS step_type, f."input" AS input, f."resumeInput" AS resume_input, f."output" AS output, f."error" AS error, f."progress" AS progress, f."attempt" AS attempt, f."failures" AS failures, f."crashes" AS crashes, f."maxFailures" AS max_failures, f."maxCrashes" AS max_crashes, f."fence" AS fence, f."leaseId" AS lease_id, f."lockedBy" AS locked_by, f."lockedAt" AS locked_at, f."leaseExpiresAt" AS lease_expires_at, f."leaseSeconds" AS lease_seconds, f."mutatingSince" AS mutating_since, f."abortRequestedAt" AS abort_requested_at, f."waitingFor" AS waiting_for, f."dedupKey" AS dedup_key, f."traceparent" AS traceparent, f."createdBy" AS created_by, f."createdAt" AS created_at, f."startedAt" AS started_at, f."finishedAt" AS finished_at, f."version" AS version FROM refreshed f ORDER BY f.place;

-- claims.something_pending
SELECT EXISTS (
  SELECT FROM unnest(CAST(%(queues)s AS text[])) AS q(name)
   CROSS JOIN LATERAL (
     SELECT FROM "workflowRuns" r
      WHERE r."stepQueue" = q.name AND r."runState" = 'pending' LIMIT 1) one);

-- leases.server_time
SELECT clock_timestamp();

-- leases.renew
WITH named AS (
  SELECT * FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]),
    CAST(%(lease_ids)s AS uuid[]), CAST(%(progresses)s AS text[]), CAST(%(lease_seconds)s AS integer[]),
    CAST(%(request_ids)s AS text[]))
    AS n(token_name, run_id, lease_id, progress, seconds, request_id)),
held AS MATERIALIZED (
  SELECT n.*, r."runState" AS was
    FROM named n JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id AND split_part(r."lockedBy", ':', 1) = n.token_name
   ORDER BY r.id FOR UPDATE OF r),
renewed AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'started',
      "leaseExpiresAt" = least(clock_timestamp() + make_interval(secs => coalesce(h.seconds, r."leaseSeconds")),
        r."abortRequestedAt" + make_interval(secs => r."leaseSeconds")),
      "leaseSeconds" = CASE WHEN r."abortRequestedAt" IS NULL
        THEN coalesce(h.seconds, r."leaseSeconds") ELSE r."leaseSeconds" END,
      "startedAt" = coalesce(r."startedAt", clock_timestamp()),
      progress = coalesce(CAST(h.progress AS jsonb), r.progress),
      version = r.version + (h.was = 'loading')::integer
    FROM held h
   WHERE r.id = h.run_id AND r."leaseId" = h.lease_id
  RETURNING r.*, h.was, h.request_id, h.token_name),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'started', clock_timestamp(), was, "runState", "leaseId", fence, "lockedBy",
         request_id, token_name, '{}'
    FROM renewed WHERE was = 'loading')
SELECT "leaseId" AS lease_id, "leaseExpiresAt" AS expires_at,
       "abortRequestedAt" IS NOT NULL AS abort
  FROM renewed;

-- leases.release
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'released'::text AS ending, false AS crashed, CAST(%(reason)s AS text) <> 'draining' AS unwanted, CAST(%(reason)s AS text) AS reason, n.request_id AS request_id, n.token_name AS actor
    FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]),
      CAST(%(lease_ids)s AS uuid[]), CAST(%(request_ids)s AS text[]))
      AS n(token_name, run_id, lease_id, request_id)
    JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id AND split_part(r."lockedBy", ':', 1) = n.token_name
   ORDER BY r.id FOR UPDATE OF r),
judged AS (
  SELECT d.*, CASE
    WHEN d."mutatingSince" IS NOT NULL THEN 'waiting'
    WHEN d."abortRequestedAt" IS NOT NULL THEN 'aborted'
    WHEN d.crashed AND d.crashes + 1 >= d."maxCrashes" THEN 'failed'
    WHEN d.unwanted AND d.releases + 1 >= 20 THEN 'failed'
    WHEN d.unwanted THEN 'scheduled'
    ELSE 'pending' END AS verdict,
         least(60, power(2, d.releases)) AS pause_seconds,
         CASE WHEN d.crashed THEN 'crashed-too-often'
              WHEN d.reason = 'no-handler' AND NOT EXISTS (
                SELECT FROM executors e WHERE d."stepType" = ANY (e."stepTypes"))
              THEN 'no-handler'
              ELSE 'released-too-often' END AS failure_code
    FROM doomed d),
ended AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      "leaseId" = NULL, "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,
      "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, "mutatingSince" = NULL, progress = NULL,
      crashes = r.crashes + j.crashed::integer,
      releases = CASE WHEN j.unwanted THEN r.releases + 1 ELSE r.releases END,
      "availableAt" = CASE j.verdict
        WHEN 'waiting' THEN NULL
        WHEN 'scheduled' THEN clock_timestamp() + make_interval(secs => j.pause_seconds)
        ELSE r."availableAt" END,
      "claimKey" = CASE j.verdict WHEN 'pending' THEN clock_timestamp() - make_interval(secs => r.priority * 60) ELSE r."claimKey" END,
      "waitingFor" = CASE j.verdict WHEN 'waiting'
        THEN jsonb_build_object('reason', 'outcome-unknown') END,
      error = CASE j.verdict WHEN 'failed' THEN jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END)
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
    j.actor, clock_timestamp() AS ended_at),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, ending, ended_at, was, "runState", lease_id, lease_fence, executor,
         request_id, actor, jsonb_strip_nulls(jsonb_build_object(
           'reason', reason, 'stepIndex', "stepIndex",
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM ended),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, error, "startedAt",
                               "finishedAt")
  SELECT id, "stepIndex", "stepName", "stepType",
         CASE "runState" WHEN 'waiting' THEN 'unknown' ELSE 'failed' END,
         CASE "runState" WHEN 'failed' THEN error END, locked_at,
         CASE "runState" WHEN 'failed' THEN ended_at END
    FROM ended WHERE "runState" IN ('waiting', 'failed')
  ON CONFLICT ("runId", "stepIndex") DO UPDATE
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt")
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, executor, ended_at
  FROM ended ORDER BY id;

-- leases.release_orphans
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'orphaned'::text AS ending, false AS crashed, false AS unwanted, NULL::text AS reason, CAST(%(request_id)s AS text) AS request_id, CAST(%(token_name)s AS text) AS actor
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = %(session)s
     AND split_part(r."lockedBy", ':', 1) = %(token_name)s
     AND r."runState" = 'loading'
     AND r."lockedAt" < %(as_of)s
     AND r."leaseId" <> ALL (CAST(%(named)s AS uuid[]))
     AND NOT EXISTS (
       SELECT FROM "claimRequests" c
        WHERE c."tokenName" = %(token_name)s AND c."requestId" = ANY (CAST(%(claiming)s AS uuid[]))
          AND r."leaseId" = ANY (c."leaseIds"))
     AND NOT EXISTS (
       SELECT FROM keeper k
        WHERE k."amnestySince" + make_interval(secs => r."leaseSeconds") > clock_timestamp())
     AND EXISTS (
       SELECT FROM keeper k
        WHERE k."lastTickAt" BETWEEN clock_timestamp() - interval '5 seconds'
                                 AND clock_timestamp() + interval '1 second')
   ORDER BY r.id FOR UPDATE OF r SKIP LOCKED),
judged AS (
  SELECT d.*, CASE
    WHEN d."mutatingSince" IS NOT NULL THEN 'waiting'
    WHEN d."abortRequestedAt" IS NOT NULL THEN 'aborted'
    WHEN d.crashed AND d.crashes + 1 >= d."maxCrashes" THEN 'failed'
    WHEN d.unwanted AND d.releases + 1 >= 20 THEN 'failed'
    WHEN d.unwanted THEN 'scheduled'
    ELSE 'pending' END AS verdict,
         least(60, power(2, d.releases)) AS pause_seconds,
         CASE WHEN d.crashed THEN 'crashed-too-often'
              WHEN d.reason = 'no-handler' AND NOT EXISTS (
                SELECT FROM executors e WHERE d."stepType" = ANY (e."stepTypes"))
              THEN 'no-handler'
              ELSE 'released-too-often' END AS failure_code
    FROM doomed d),
ended AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      "leaseId" = NULL, "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,
      "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, "mutatingSince" = NULL, progress = NULL,
      crashes = r.crashes + j.crashed::integer,
      releases = CASE WHEN j.unwanted THEN r.releases + 1 ELSE r.releases END,
      "availableAt" = CASE j.verdict
        WHEN 'waiting' THEN NULL
        WHEN 'scheduled' THEN clock_timestamp() + make_interval(secs => j.pause_seconds)
        ELSE r."availableAt" END,
      "claimKey" = CASE j.verdict WHEN 'pending' THEN clock_timestamp() - make_interval(secs => r.priority * 60) ELSE r."claimKey" END,
      "waitingFor" = CASE j.verdict WHEN 'waiting'
        THEN jsonb_build_object('reason', 'outcome-unknown') END,
      error = CASE j.verdict WHEN 'failed' THEN jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END)
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
    j.actor, clock_timestamp() AS ended_at),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, ending, ended_at, was, "runState", lease_id, lease_fence, executor,
         request_id, actor, jsonb_strip_nulls(jsonb_build_object(
           'reason', reason, 'stepIndex', "stepIndex",
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM ended),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, error, "startedAt",
                               "finishedAt")
  SELECT id, "stepIndex", "stepName", "stepType",
         CASE "runState" WHEN 'waiting' THEN 'unknown' ELSE 'failed' END,
         CASE "runState" WHEN 'failed' THEN error END, locked_at,
         CASE "runState" WHEN 'failed' THEN ended_at END
    FROM ended WHERE "runState" IN ('waiting', 'failed')
  ON CONFLICT ("runId", "stepIndex") DO UPDATE
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt")
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, executor, ended_at
  FROM ended ORDER BY id;

-- leases.release_replaced
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'replaced'::text AS ending, true AS crashed, false AS unwanted, NULL::text AS reason, CAST(%(request_id)s AS text) AS request_id, CAST(%(actor)s AS text) AS actor
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."lockedSession" <> %(session)s AND r."lockedBy" = %(executor)s
   ORDER BY r.id FOR UPDATE OF r),
judged AS (
  SELECT d.*, CASE
    WHEN d."mutatingSince" IS NOT NULL THEN 'waiting'
    WHEN d."abortRequestedAt" IS NOT NULL THEN 'aborted'
    WHEN d.crashed AND d.crashes + 1 >= d."maxCrashes" THEN 'failed'
    WHEN d.unwanted AND d.releases + 1 >= 20 THEN 'failed'
    WHEN d.unwanted THEN 'scheduled'
    ELSE 'pending' END AS verdict,
         least(60, power(2, d.releases)) AS pause_seconds,
         CASE WHEN d.crashed THEN 'crashed-too-often'
              WHEN d.reason = 'no-handler' AND NOT EXISTS (
                SELECT FROM executors e WHERE d."stepType" = ANY (e."stepTypes"))
              THEN 'no-handler'
              ELSE 'released-too-often' END AS failure_code
    FROM doomed d),
ended AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      "leaseId" = NULL, "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,
      "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, "mutatingSince" = NULL, progress = NULL,
      crashes = r.crashes + j.crashed::integer,
      releases = CASE WHEN j.unwanted THEN r.releases + 1 ELSE r.releases END,
      "availableAt" = CASE j.verdict
        WHEN 'waiting' THEN NULL
        WHEN 'scheduled' THEN clock_timestamp() + make_interval(secs => j.pause_seconds)
        ELSE r."availableAt" END,
      "claimKey" = CASE j.verdict WHEN 'pending' THEN clock_timestamp() - make_interval(secs => r.priority * 60) ELSE r."claimKey" END,
      "waitingFor" = CASE j.verdict WHEN 'waiting'
        THEN jsonb_build_object('reason', 'outcome-unknown') END,
      error = CASE j.verdict WHEN 'failed' THEN jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END)
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
    j.actor, clock_timestamp() AS ended_at),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, ending, ended_at, was, "runState", lease_id, lease_fence, executor,
         request_id, actor, jsonb_strip_nulls(jsonb_build_object(
           'reason', reason, 'stepIndex', "stepIndex",
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM ended),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, error, "startedAt",
                               "finishedAt")
  SELECT id, "stepIndex", "stepName", "stepType",
         CASE "runState" WHEN 'waiting' THEN 'unknown' ELSE 'failed' END,
         CASE "runState" WHEN 'failed' THEN error END, locked_at,
         CASE "runState" WHEN 'failed' THEN ended_at END
    FROM ended WHERE "runState" IN ('waiting', 'failed')
  ON CONFLICT ("runId", "stepIndex") DO UPDATE
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt")
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, executor, ended_at
  FROM ended ORDER BY id;

-- leases.expire
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'expired'::text AS ending, true AS crashed, false AS unwanted, NULL::text AS reason, NULL::text AS request_id, NULL::text AS actor
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."leaseExpiresAt" < clock_timestamp()
     AND (CAST(%(only)s AS uuid) IS NULL OR r.id = %(only)s)
     AND NOT EXISTS (
       SELECT FROM keeper k
        WHERE k."amnestySince" + make_interval(secs => r."leaseSeconds") > clock_timestamp())
   ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED),
judged AS (
  SELECT d.*, CASE
    WHEN d."mutatingSince" IS NOT NULL THEN 'waiting'
    WHEN d."abortRequestedAt" IS NOT NULL THEN 'aborted'
    WHEN d.crashed AND d.crashes + 1 >= d."maxCrashes" THEN 'failed'
    WHEN d.unwanted AND d.releases + 1 >= 20 THEN 'failed'
    WHEN d.unwanted THEN 'scheduled'
    ELSE 'pending' END AS verdict,
         least(60, power(2, d.releases)) AS pause_seconds,
         CASE WHEN d.crashed THEN 'crashed-too-often'
              WHEN d.reason = 'no-handler' AND NOT EXISTS (
                SELECT FROM executors e WHERE d."stepType" = ANY (e."stepTypes"))
              THEN 'no-handler'
              ELSE 'released-too-often' END AS failure_code
    FROM doomed d),
ended AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      "leaseId" = NULL, "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,
      "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, "mutatingSince" = NULL, progress = NULL,
      crashes = r.crashes + j.crashed::integer,
      releases = CASE WHEN j.unwanted THEN r.releases + 1 ELSE r.releases END,
      "availableAt" = CASE j.verdict
        WHEN 'waiting' THEN NULL
        WHEN 'scheduled' THEN clock_timestamp() + make_interval(secs => j.pause_seconds)
        ELSE r."availableAt" END,
      "claimKey" = CASE j.verdict WHEN 'pending' THEN clock_timestamp() - make_interval(secs => r.priority * 60) ELSE r."claimKey" END,
      "waitingFor" = CASE j.verdict WHEN 'waiting'
        THEN jsonb_build_object('reason', 'outcome-unknown') END,
      error = CASE j.verdict WHEN 'failed' THEN jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END)
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
    j.actor, clock_timestamp() AS ended_at),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, ending, ended_at, was, "runState", lease_id, lease_fence, executor,
         request_id, actor, jsonb_strip_nulls(jsonb_build_object(
           'reason', reason, 'stepIndex', "stepIndex",
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM ended),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, error, "startedAt",
                               "finishedAt")
  SELECT id, "stepIndex", "stepName", "stepType",
         CASE "runState" WHEN 'waiting' THEN 'unknown' ELSE 'failed' END,
         CASE "runState" WHEN 'failed' THEN error END, locked_at,
         CASE "runState" WHEN 'failed' THEN ended_at END
    FROM ended WHERE "runState" IN ('waiting', 'failed')
  ON CONFLICT ("runId", "stepIndex") DO UPDATE
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt")
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, executor, ended_at
  FROM ended ORDER BY id;

-- leases.expired_run_ids
SELECT r.id FROM "workflowRuns" r
 WHERE r."leaseId" IS NOT NULL AND r."leaseExpiresAt" < clock_timestamp() AND NOT EXISTS (
       SELECT FROM keeper k
        WHERE k."amnestySince" + make_interval(secs => r."leaseSeconds") > clock_timestamp())
 ORDER BY r.id LIMIT %(limit)s;

-- leases.start_step
WITH named AS (
  SELECT * FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]),
    CAST(%(lease_ids)s AS uuid[]), CAST(%(step_indexes)s AS integer[]), CAST(%(request_ids)s AS text[]))
    AS n(token_name, run_id, lease_id, step_index, request_id)),
held AS MATERIALIZED (
  SELECT n.*, r."runState" AS was, r."mutatingSince" IS NULL AS first
    FROM named n JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id AND split_part(r."lockedBy", ':', 1) = n.token_name AND r."stepIndex" = n.step_index
   ORDER BY r.id FOR UPDATE OF r),
marked AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'started',
      "mutatingSince" = coalesce(r."mutatingSince", clock_timestamp()),
      "startedAt" = coalesce(r."startedAt", clock_timestamp()),
      version = r.version + h.first::integer
    FROM held h
   WHERE r.id = h.run_id AND r."leaseId" = h.lease_id
  RETURNING r.*, h.was, h.first, h.request_id, h.token_name),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'step-started', clock_timestamp(), was, "runState", "leaseId", fence,
         "lockedBy", request_id, token_name, jsonb_build_object('stepIndex', "stepIndex")
    FROM marked WHERE first),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, "startedAt")
  SELECT id, "stepIndex", "stepName", "stepType", 'started', "mutatingSince"
    FROM marked WHERE first
  ON CONFLICT ("runId", "stepIndex") DO UPDATE SET state = 'started')
SELECT "leaseId" FROM marked;

-- reports.report
WITH told AS (
  SELECT * FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]),
    CAST(%(lease_ids)s AS uuid[]), CAST(%(step_indexes)s AS integer[]), CAST(%(statuses)s AS text[]),
    CAST(%(outputs)s AS text[]), CAST(%(messages)s AS text[]), CAST(%(retryables)s AS boolean[]),
    CAST(%(waiting_fors)s AS text[]), CAST(%(available_ats)s AS timestamptz[]),
    CAST(%(hashes)s AS bytea[]), CAST(%(request_ids)s AS text[]))
    WITH ORDINALITY AS t(token_name, run_id, lease_id, step_index, status, step_output, message,
                         retryable, waiting_for, later_at, outcome_hash, request_id, place)),
held AS MATERIALIZED (
  SELECT r.*, t.*
    FROM told t JOIN "workflowRuns" r ON r.id = t.run_id
   WHERE r."leaseId" = t.lease_id AND split_part(r."lockedBy", ':', 1) = t.token_name AND r."stepIndex" = t.step_index
   ORDER BY r.id FOR UPDATE OF r),
judged AS (
  SELECT h.*, CASE
      WHEN h.status = 'success' THEN 'finished'
      WHEN h.status = 'unknown' THEN 'waiting'
      WHEN h."abortRequestedAt" IS NOT NULL THEN 'aborted'
      WHEN h.status = 'awaiting-input' THEN 'waiting'
      WHEN h.status = 'later' THEN 'scheduled'
      WHEN NOT coalesce(h.retryable, h."mutatingSince" IS NULL) THEN 'failed'
      WHEN h.failures + 1 >= h."maxFailures" THEN 'failed'
      ELSE 'scheduled' END AS verdict,
    CASE WHEN NOT coalesce(h.retryable, h."mutatingSince" IS NULL) THEN 'step-failed'
         ELSE 'failed-too-often' END AS failure_code
    FROM held h),
reported AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      "leaseId" = NULL, "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,
      "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, "mutatingSince" = NULL, progress = NULL,
      failures = r.failures + (j.status = 'error')::integer,
      releases = 0,
      output = CASE j.verdict WHEN 'finished'
        THEN nullif(CAST(j.step_output AS jsonb), 'null'::jsonb) END,
      error = CASE WHEN j.verdict = 'finished' THEN NULL
        WHEN j.status = 'error' THEN jsonb_build_object(
          'code', CASE j.verdict WHEN 'failed' THEN j.failure_code ELSE 'step-error' END,
          'message', j.message, 'stepIndex', r."stepIndex")
        ELSE r.error END,
      "waitingFor" = CASE j.verdict WHEN 'waiting' THEN CASE j.status
        WHEN 'unknown' THEN jsonb_strip_nulls(jsonb_build_object(
          'reason', 'outcome-unknown', 'message', j.message))
        ELSE CAST(j.waiting_for AS jsonb) END END,
      "resumeInput" = CASE j.status WHEN 'awaiting-input' THEN NULL ELSE r."resumeInput" END,
      "availableAt" = CASE
        WHEN j.verdict = 'waiting' THEN clock_timestamp() + make_interval(secs =>
          (CAST(j.waiting_for AS jsonb)->>'timeoutSeconds')::double precision)
        WHEN j.status = 'later' AND j.verdict = 'scheduled' THEN j.later_at
        WHEN j.verdict = 'scheduled' THEN clock_timestamp() + make_interval(secs => random()
          * least(300, 2 * power(2, r.failures)))
        ELSE r."availableAt" END,
      "startedAt" = coalesce(r."startedAt", j."lockedAt"),
      "finishedAt" = CASE WHEN j.verdict IN ('finished', 'failed', 'aborted')
        THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.id, r."runState", r.queue, r.version, r."stepIndex", r."stepName", r."stepType",
    r.error, r.output, j."runState" AS was, j.place, j.status, j.outcome_hash, j.message,
    j."leaseId" AS lease_id, j.fence, j."lockedBy" AS executor, j."lockedAt" AS locked_at,
    j.request_id, j.token_name, j.step_output),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'reported', clock_timestamp(), was, "runState", lease_id, fence, executor,
         request_id, token_name, jsonb_strip_nulls(jsonb_build_object(
           'stepIndex', "stepIndex", 'outcome', status,
           'outcomeHash', encode(outcome_hash, 'hex'), 'message', left(message, 1000),
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM reported),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, output, error,
                               "startedAt", "finishedAt")
  SELECT id, "stepIndex", "stepName", "stepType",
         CASE status WHEN 'success' THEN 'finished' WHEN 'error' THEN 'failed'
           WHEN 'unknown' THEN 'unknown' WHEN 'awaiting-input' THEN 'waiting' ELSE 'started' END,
         CASE status WHEN 'success' THEN nullif(CAST(step_output AS jsonb), 'null'::jsonb) END,
         CASE status WHEN 'error' THEN error END, locked_at,
         CASE WHEN status IN ('success', 'error') THEN clock_timestamp() END
    FROM reported
  ON CONFLICT ("runId", "stepIndex") DO UPDATE SET
    state = excluded.state, output = excluded.output, error = excluded.error,
    "finishedAt" = excluded."finishedAt")
SELECT place, id AS run_id, "runState" AS run_state, queue FROM reported;

-- reports.stored
SELECT e."runId", e."leaseId", (e.detail->>'stepIndex')::integer,
       decode(e.detail->>'outcomeHash', 'hex'), e."toState"
  FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]), CAST(%(lease_ids)s AS uuid[]))
    AS t(token_name, run_id, lease_id)
  JOIN "runEvents" e ON e."runId" = t.run_id AND e."leaseId" = t.lease_id
   AND e.kind = 'reported' AND split_part(e.executor, ':', 1) = t.token_name;

-- reports.current_steps
SELECT r.id, r."stepIndex"
  FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]), CAST(%(lease_ids)s AS uuid[]))
    AS t(token_name, run_id, lease_id)
  JOIN "workflowRuns" r ON r.id = t.run_id AND r."leaseId" = t.lease_id
   AND split_part(r."lockedBy", ':', 1) = t.token_name;

-- acts.abort
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id FROM "workflowRuns" r
   WHERE r.id = %(run_id)s AND r."finishedAt" IS NULL AND r."abortRequestedAt" IS NULL
     AND r."waitingFor"->>'reason' IS DISTINCT FROM 'outcome-unknown'
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = CASE WHEN r."leaseId" IS NULL THEN 'aborted' ELSE r."runState" END,
      "abortRequestedAt" = clock_timestamp(),
      "finishedAt" = CASE WHEN r."leaseId" IS NULL THEN clock_timestamp() END,
      "waitingFor" = NULL,
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, CASE WHEN c."leaseId" IS NULL THEN 'aborted' ELSE 'abort-requested' END, clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c."stepIndex",
           'idempotencyKey', CAST(%(idempotency_key)s AS text)))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.retry
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id FROM "workflowRuns" r
   WHERE r.id = %(run_id)s AND r."runState" IN ('failed', 'aborted')
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'pending',
      "stepIndex" = r."stepIndex" + EXISTS (
        SELECT FROM "runEvents" e WHERE e."runId" = r.id AND e.kind = 'step-started'
           AND (e.detail->>'stepIndex')::integer = r."stepIndex")::integer,
      failures = 0, crashes = 0, releases = 0, error = NULL,
      "abortRequestedAt" = NULL, "finishedAt" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = clock_timestamp() - make_interval(secs => r.priority * 60),
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'retried', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c."stepIndex",
           'idempotencyKey', CAST(%(idempotency_key)s AS text)))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resume
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id FROM "workflowRuns" r
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'input'
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'pending', "waitingFor" = NULL,
      "resumeInput" = CAST(%(input)s AS jsonb),
      "availableAt" = clock_timestamp(), "claimKey" = clock_timestamp() - make_interval(secs => r.priority * 60),
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resumed', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c."stepIndex",
           'idempotencyKey', CAST(%(idempotency_key)s AS text)))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resolve_done
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id FROM "workflowRuns" r
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'outcome-unknown'
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'finished', "waitingFor" = NULL, error = NULL,
      output = nullif(CAST(%(output)s AS jsonb), 'null'::jsonb), "finishedAt" = clock_timestamp(),
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was),
stepped AS (
  UPDATE "workflowSteps" s SET state = 'finished', error = NULL, "finishedAt" = c."finishedAt",
         output = c.output
    FROM changed c WHERE s."runId" = c.id AND s."stepIndex" = c."stepIndex"),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resolved', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c."stepIndex",
           'idempotencyKey', CAST(%(idempotency_key)s AS text)))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resolve_run_again
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id FROM "workflowRuns" r
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'outcome-unknown'
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'pending', "waitingFor" = NULL, "stepIndex" = r."stepIndex" + 1,
      failures = 0, crashes = 0, releases = 0, error = NULL, "abortRequestedAt" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = clock_timestamp() - make_interval(secs => r.priority * 60),
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resolved', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c."stepIndex",
           'idempotencyKey', CAST(%(idempotency_key)s AS text)))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resolve_abort
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id FROM "workflowRuns" r
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'outcome-unknown'
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'aborted', "waitingFor" = NULL, "finishedAt" = clock_timestamp(),
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resolved', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c."stepIndex",
           'idempotencyKey', CAST(%(idempotency_key)s AS text)))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.was_done
SELECT EXISTS (SELECT FROM "runEvents" e
  WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s AND e.kind = ANY (CAST(%(kinds)s AS text[]))
    AND e.detail->>'idempotencyKey' = %(idempotency_key)s);

-- keeper.take_turn
SELECT pg_try_advisory_xact_lock(%(key)s);

-- keeper.tick
SET LOCAL synchronous_commit = off;
UPDATE keeper k SET "lastTickAt" = n.now,
    "amnestySince" = CASE WHEN n.gap THEN n.now ELSE k."amnestySince" END,
    "prunedAt" = CASE WHEN n.prune THEN n.now ELSE k."prunedAt" END
  FROM (SELECT now, "lastTickAt",
               coalesce(now - "lastTickAt" > make_interval(secs => %(gap_seconds)s)
                        OR now < "lastTickAt", false) AS gap,
               coalesce(now - "prunedAt" > make_interval(secs => %(prune_every_seconds)s)
                        OR now < "prunedAt", true) AS prune
          FROM keeper, clock_timestamp() AS now FOR UPDATE OF keeper) n
 WHERE n.gap OR n."lastTickAt" IS NULL
    OR n.now - n."lastTickAt" >= make_interval(secs => %(every_seconds)s)
RETURNING n.now, n.gap, n.prune;

-- keeper.make_due
WITH due AS MATERIALIZED (
  SELECT r.id FROM "workflowRuns" r
   WHERE r."runState" = 'scheduled' AND r."availableAt" <= clock_timestamp()
     AND (CAST(%(only)s AS uuid) IS NULL OR r.id = %(only)s)
   ORDER BY r."availableAt" LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED),
moved AS (
  UPDATE "workflowRuns" r SET "runState" = 'pending',
      "claimKey" = r."availableAt" - make_interval(secs => r.priority * 60),
      version = r.version + 1
    FROM due d WHERE r.id = d.id AND r."runState" = 'scheduled'
  RETURNING r.*),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", detail)
  SELECT id, version, 'due', clock_timestamp(), 'scheduled', "runState", '{}'
    FROM moved)
SELECT id AS run_id, "runState" AS run_state, "stepQueue" AS queue FROM moved;

-- keeper.due_run_ids
SELECT id FROM "workflowRuns"
 WHERE "runState" = 'scheduled' AND "availableAt" <= clock_timestamp()
 ORDER BY "availableAt" LIMIT %(limit)s;

-- keeper.time_out_waits
WITH late AS MATERIALIZED (
  SELECT r.id FROM "workflowRuns" r
   WHERE r."runState" = 'waiting' AND r."availableAt" <= clock_timestamp()
     AND (CAST(%(only)s AS uuid) IS NULL OR r.id = %(only)s)
   ORDER BY r."availableAt" LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED),
moved AS (
  UPDATE "workflowRuns" r SET "runState" = 'failed', "waitingFor" = NULL,
      error = jsonb_build_object('code', 'input-timed-out', 'stepIndex', r."stepIndex",
        'message', 'No input came in time.'),
      "finishedAt" = clock_timestamp(), version = r.version + 1
    FROM late l WHERE r.id = l.id AND r."runState" = 'waiting'
  RETURNING r.*),
stepped AS (
  UPDATE "workflowSteps" s SET state = 'failed', error = m.error, "finishedAt" = m."finishedAt"
    FROM moved m WHERE s."runId" = m.id AND s."stepIndex" = m."stepIndex"),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", detail)
  SELECT id, version, 'timed-out', clock_timestamp(), 'waiting', "runState",
         jsonb_build_object('stepIndex', "stepIndex", 'code', 'input-timed-out')
    FROM moved)
SELECT id AS run_id, "runState" AS run_state, "stepQueue" AS queue FROM moved;

-- keeper.late_run_ids
SELECT id FROM "workflowRuns"
 WHERE "runState" = 'waiting' AND "availableAt" <= clock_timestamp()
 ORDER BY "availableAt" LIMIT %(limit)s;

-- keeper.prune
SELECT dibs_prune(clock_timestamp() - make_interval(days => %(retention_days)s), %(limit)s);

-- executors.register
INSERT INTO executors AS e ("fullName", session, "tokenName", version, slots, queues, "stepTypes",
  labels, url, state, "registeredAt", "seenAt")
VALUES (%(full_name)s, %(session)s, %(token_name)s, %(version)s, %(slots)s, %(queues)s, %(step_types)s,
  CAST(%(labels)s AS jsonb), %(url)s, CASE WHEN %(draining)s THEN 'draining' ELSE 'active' END,
  clock_timestamp(), clock_timestamp())
ON CONFLICT ("fullName", session) DO UPDATE SET
  version = excluded.version, slots = excluded.slots, queues = excluded.queues,
  "stepTypes" = excluded."stepTypes", labels = excluded.labels, url = excluded.url,
  state = CASE e.state WHEN 'active' THEN excluded.state ELSE e.state END,
  "seenAt" = excluded."seenAt";

-- executors.list_executors
SELECT e."fullName" AS full_name, e."session" AS session, e."tokenName" AS token_name, e."version" AS version, e."slots" AS slots, e."queues" AS queues, e."stepTypes" AS step_types, e."labels" AS labels, e."url" AS url, e."state" AS state, e."reason" AS reason, e."registeredAt" AS registered_at, e."seenAt" AS seen_at,
       (SELECT count(*) FROM "workflowRuns" r
         WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session
           AND r."lockedBy" = e."fullName") AS in_flight
  FROM executors e ORDER BY e."seenAt" DESC, e."fullName";

-- executors.set_state
UPDATE executors SET state = %(state)s, reason = %(reason)s WHERE "fullName" = %(full_name)s;

-- executors.is_serving
SELECT EXISTS (SELECT FROM executors e
  WHERE e."fullName" = %(full_name)s AND e.session = %(session)s AND e.state <> 'active');

-- executors.seen
UPDATE executors e SET "seenAt" = clock_timestamp()
  FROM unnest(CAST(%(full_names)s AS text[]), CAST(%(sessions)s AS uuid[])) AS s(full_name, session)
 WHERE e."fullName" = s.full_name AND e.session = s.session;

-- executors.drop_unseen
DELETE FROM executors e
 WHERE e."seenAt" < clock_timestamp() - interval '7 days'
   AND NOT EXISTS (SELECT FROM "workflowRuns" r
     WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session);

-- queues.list_queues
WITH depths AS (
  SELECT "stepQueue" AS name,
         count(*) FILTER (WHERE "runState" = 'scheduled') AS scheduled,
         count(*) FILTER (WHERE "runState" = 'pending') AS pending,
         count(*) FILTER (WHERE "runState" = 'loading') AS loading,
         count(*) FILTER (WHERE "runState" = 'started') AS started,
         count(*) FILTER (WHERE "runState" = 'waiting') AS waiting,
         min("availableAt") FILTER (WHERE "runState" = 'pending') AS oldest
    FROM "workflowRuns"
   WHERE "runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting')
   GROUP BY "stepQueue"),
served AS (
  SELECT q.name, count(*) AS executors
    FROM executors e CROSS JOIN LATERAL unnest(e.queues) AS q(name)
   WHERE e.state = 'active' AND e."seenAt" > clock_timestamp() - interval '90 seconds'
   GROUP BY q.name),
names AS (
  SELECT name FROM queues UNION SELECT name FROM depths UNION SELECT name FROM served)
SELECT n.name, coalesce(q.paused, false) AS paused, q."maxConcurrency" AS max_concurrency,
       q."ratePerSecond" AS rate_per_second, coalesce(d.scheduled, 0) AS scheduled,
       coalesce(d.pending, 0) AS pending, coalesce(d.loading, 0) AS loading,
       coalesce(d.started, 0) AS started, coalesce(d.waiting, 0) AS waiting,
       CASE WHEN d.oldest IS NOT NULL THEN greatest(0,
         extract(epoch FROM clock_timestamp() - d.oldest))::double precision
       END AS oldest_pending_seconds,
       coalesce(s.executors, 0) AS executors
  FROM names n
  LEFT JOIN queues q USING (name) LEFT JOIN depths d USING (name) LEFT JOIN served s USING (name)
 ORDER BY n.name;

-- queues.set_paused
INSERT INTO queues AS q (name, paused, "changedBy", "changedAt")
VALUES (%(name)s, %(paused)s, %(actor)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, "changedBy" = excluded."changedBy",
  "changedAt" = excluded."changedAt";

-- queues.paused_among
SELECT name FROM queues WHERE paused AND name = ANY (CAST(%(names)s AS text[]));

-- tokens.find
SELECT "keyId" AS key_id, name, role, "secretHash" AS secret_hash, queues,
  "createdAt" AS created_at, "expiresAt" AS expires_at, "revokedAt" AS revoked_at,
  "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp()) AS active FROM "accessTokens" WHERE "keyId" = %(key_id)s;

-- tokens.list_tokens
SELECT "keyId" AS key_id, name, role, "secretHash" AS secret_hash, queues,
  "createdAt" AS created_at, "expiresAt" AS expires_at, "revokedAt" AS revoked_at,
  "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp()) AS active FROM "accessTokens"
 WHERE CAST(%(name)s AS text) IS NULL OR name = %(name)s ORDER BY name, "createdAt";

-- tokens.lock_name
SELECT pg_advisory_xact_lock(hashtextextended('dibs token ' || %(name)s, 0));

-- tokens.create
INSERT INTO "accessTokens" ("keyId", name, role, "secretHash", queues, "createdAt", "expiresAt")
VALUES (%(key_id)s, %(name)s, %(role)s, %(secret_hash)s, %(queues)s, clock_timestamp(),
        clock_timestamp() + CAST(%(lasts)s AS interval));

-- tokens.revoke
UPDATE "accessTokens" SET "revokedAt" = clock_timestamp()
 WHERE "revokedAt" IS NULL AND (name = CAST(%(name)s AS text) OR "keyId" = CAST(%(key_id)s AS text));
