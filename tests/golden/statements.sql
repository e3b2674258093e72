-- runs.create
WITH wished AS (
  SELECT w.*, greatest(w.available_at, (SELECT clock_timestamp())) AS due,
         d.version AS workflow_version,
         coalesce(d."firstStep", w.workflow) AS step_name,
         coalesce(d.steps->d."firstStep"->>'type', w.workflow) AS step_type,
         coalesce(d.steps->d."firstStep"->>'queue', w.queue) AS step_queue
    FROM unnest(CAST(%(ids)s AS uuid[]), CAST(%(workflows)s AS text[]), CAST(%(inputs)s AS text[]),
      CAST(%(queues)s AS text[]), CAST(%(priorities)s AS smallint[]),
      CAST(%(available_ats)s AS timestamptz[]), CAST(%(max_failures)s AS smallint[]),
      CAST(%(max_crashes)s AS smallint[]), CAST(%(dedup_keys)s AS text[]),
      CAST(%(idempotency_keys)s AS text[]), CAST(%(request_hashes)s AS bytea[]),
      CAST(%(traceparents)s AS text[]), CAST(%(created_bys)s AS text[]), CAST(%(request_ids)s AS text[]),
      CAST(%(concurrency_keys)s AS text[]))
      WITH ORDINALITY AS w(id, workflow, input, queue, priority, available_at, max_failures,
        max_crashes, dedup_key, idempotency_key, request_hash, traceparent, created_by,
        request_id, concurrency_key, place)
    LEFT JOIN "currentWorkflows" v ON v.name = w.workflow
    LEFT JOIN workflows d ON d.name = v.name AND d.version = v.version),
created AS (
  INSERT INTO "workflowRuns" AS r (
    id, workflow, "workflowVersion", queue, "stepQueue", "runState", priority, "availableAt",
    "claimKey", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
    "maxFailures", "maxCrashes", fence, "dedupKey", "idempotencyKey", "requestHash",
    traceparent, "createdBy", "createdAt", version, "concurrencyKey")
  SELECT id, workflow, workflow_version, queue, step_queue,
         CASE WHEN available_at > clock_timestamp() THEN 'scheduled'
              ELSE 'pending' END,
         priority, due, due - make_interval(secs => priority * 60),
         0, step_name, step_type, CAST(input AS jsonb), 0, 0, 0, 0, max_failures, max_crashes, 0,
         dedup_key, idempotency_key, request_hash, traceparent, created_by, clock_timestamp(), 1,
         concurrency_key
    FROM wished ORDER BY idempotency_key, queue, workflow, dedup_key, place
  ON CONFLICT DO NOTHING
  RETURNING r.*),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "toState", "requestId", actor, detail)
  SELECT c.id, 1, 'created', c."createdAt", c."runState", w.request_id, c."createdBy", '{}'
    FROM created c JOIN wished w USING (id))
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM created c JOIN wished w USING (id) ORDER BY w.place;
WITH wished AS (
  SELECT w.*, greatest(w.available_at, (SELECT clock_timestamp())) AS due,
         d.version AS workflow_version,
         coalesce(d."firstStep", w.workflow) AS step_name,
         coalesce(d.steps->d."firstStep"->>'type', w.workflow) AS step_type,
         coalesce(d.steps->d."firstStep"->>'queue', w.queue) AS step_queue
    FROM unnest(CAST(%(ids)s AS uuid[]), CAST(%(workflows)s AS text[]), CAST(%(inputs)s AS text[]),
      CAST(%(queues)s AS text[]), CAST(%(priorities)s AS smallint[]),
      CAST(%(available_ats)s AS timestamptz[]), CAST(%(max_failures)s AS smallint[]),
      CAST(%(max_crashes)s AS smallint[]), CAST(%(dedup_keys)s AS text[]),
      CAST(%(idempotency_keys)s AS text[]), CAST(%(request_hashes)s AS bytea[]),
      CAST(%(traceparents)s AS text[]), CAST(%(created_bys)s AS text[]), CAST(%(request_ids)s AS text[]),
      CAST(%(concurrency_keys)s AS text[]))
      WITH ORDINALITY AS w(id, workflow, input, queue, priority, available_at, max_failures,
        max_crashes, dedup_key, idempotency_key, request_hash, traceparent, created_by,
        request_id, concurrency_key, place)
    LEFT JOIN "currentWorkflows" v ON v.name = w.workflow
    LEFT JOIN workflows d ON d.name = v.name AND d.version = v.version),
created AS (
  INSERT INTO "workflowRuns" AS r (
    id, workflow, "workflowVersion", queue, "stepQueue", "runState", priority, "availableAt",
    "claimKey", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
    "maxFailures", "maxCrashes", fence, "dedupKey", "idempotencyKey", "requestHash",
    traceparent, "createdBy", "createdAt", version, "concurrencyKey")
  SELECT id, workflow, workflow_version, queue, step_queue,
         CASE WHEN available_at > clock_timestamp() THEN 'scheduled'
              ELSE 'pending' END,
         priority, due, due - make_interval(secs => priority * 60),
         0, step_name, step_type, CAST(input AS jsonb), 0, 0, 0, 0, max_failures, max_crashes, 0,
         dedup_key, idempotency_key, request_hash, traceparent, created_by, clock_timestamp(), 1,
         concurrency_key
    FROM wished ORDER BY idempotency_key, queue, workflow, dedup_key, place
  ON CONFLICT DO NOTHING
  RETURNING r.*),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "toState", "requestId", actor, detail)
  SELECT c.id, 1, 'created', c."createdAt", c."runState", w.request_id, CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object('keyId', CAST(%(key_id)s AS text)))
    FROM created c JOIN wished w USING (id))
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM created c JOIN wished w USING (id) ORDER BY w.place;

-- runs.find
SELECT r."id" AS id, r."workflow" AS workflow, r."workflowVersion" AS workflow_version, r."queue" AS queue, r."stepQueue" AS step_queue, r."runState" AS run_state, r."priority" AS priority, r."availableAt" AS available_at, r."stepIndex" AS step_index, r."stepName" AS step_name, r."stepType" AS step_type, r."input" AS input, r."output" AS output, r."error" AS error, r."progress" AS progress, r."attempt" AS attempt, r."failures" AS failures, r."crashes" AS crashes, r."maxFailures" AS max_failures, r."maxCrashes" AS max_crashes, r."fence" AS fence, r."lockedBy" AS locked_by, r."lockedAt" AS locked_at, r."leaseExpiresAt" AS lease_expires_at, r."mutatingSince" AS mutating_since, r."abortRequestedAt" AS abort_requested_at, r."waitingFor" AS waiting_for, r."dedupKey" AS dedup_key, r."concurrencyKey" AS concurrency_key, r."traceparent" AS traceparent, r."createdBy" AS created_by, r."createdAt" AS created_at, r."startedAt" AS started_at, r."finishedAt" AS finished_at, r."version" AS version FROM "workflowRuns" r WHERE r.id = %(run_id)s;

-- runs.find_by_idempotency_key
SELECT r."id" AS id, r."workflow" AS workflow, r."workflowVersion" AS workflow_version, r."queue" AS queue, r."stepQueue" AS step_queue, r."runState" AS run_state, r."priority" AS priority, r."availableAt" AS available_at, r."stepIndex" AS step_index, r."stepName" AS step_name, r."stepType" AS step_type, r."input" AS input, r."output" AS output, r."error" AS error, r."progress" AS progress, r."attempt" AS attempt, r."failures" AS failures, r."crashes" AS crashes, r."maxFailures" AS max_failures, r."maxCrashes" AS max_crashes, r."fence" AS fence, r."lockedBy" AS locked_by, r."lockedAt" AS locked_at, r."leaseExpiresAt" AS lease_expires_at, r."mutatingSince" AS mutating_since, r."abortRequestedAt" AS abort_requested_at, r."waitingFor" AS waiting_for, r."dedupKey" AS dedup_key, r."concurrencyKey" AS concurrency_key, r."traceparent" AS traceparent, r."createdBy" AS created_by, r."createdAt" AS created_at, r."startedAt" AS started_at, r."finishedAt" AS finished_at, r."version" AS version, r."requestHash" AS request_hash FROM "workflowRuns" r
 WHERE r."createdBy" = %(created_by)s AND r."idempotencyKey" = %(key)s;

-- runs.find_live_by_dedup_key
SELECT r."id" AS id, r."workflow" AS workflow, r."workflowVersion" AS workflow_version, r."queue" AS queue, r."stepQueue" AS step_queue, r."runState" AS run_state, r."priority" AS priority, r."availableAt" AS available_at, r."stepIndex" AS step_index, r."stepName" AS step_name, r."stepType" AS step_type, r."input" AS input, r."output" AS output, r."error" AS error, r."progress" AS progress, r."attempt" AS attempt, r."failures" AS failures, r."crashes" AS crashes, r."maxFailures" AS max_failures, r."maxCrashes" AS max_crashes, r."fence" AS fence, r."lockedBy" AS locked_by, r."lockedAt" AS locked_at, r."leaseExpiresAt" AS lease_expires_at, r."mutatingSince" AS mutating_since, r."abortRequestedAt" AS abort_requested_at, r."waitingFor" AS waiting_for, r."dedupKey" AS dedup_key, r."concurrencyKey" AS concurrency_key, r."traceparent" AS traceparent, r."createdBy" AS created_by, r."createdAt" AS created_at, r."startedAt" AS started_at, r."finishedAt" AS finished_at, r."version" AS version FROM "workflowRuns" r
 WHERE r.queue = %(queue)s AND r.workflow = %(workflow)s AND r."dedupKey" = %(dedup_key)s
   AND r."runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting');

-- runs.list_runs
SELECT "workflowRuns".id AS id, "workflowRuns".workflow AS workflow, "workflowRuns"."workflowVersion" AS workflow_version, "workflowRuns".queue AS queue, "workflowRuns"."stepQueue" AS step_queue, "workflowRuns"."runState" AS run_state, "workflowRuns".priority AS priority, "workflowRuns"."availableAt" AS available_at, "workflowRuns"."stepIndex" AS step_index, "workflowRuns"."stepName" AS step_name, "workflowRuns"."stepType" AS step_type, "workflowRuns".input AS input, "workflowRuns".output AS output, "workflowRuns".error AS error, "workflowRuns".progress AS progress, "workflowRuns".attempt AS attempt, "workflowRuns".failures AS failures, "workflowRuns".crashes AS crashes, "workflowRuns"."maxFailures" AS max_failures, "workflowRuns"."maxCrashes" AS max_crashes, "workflowRuns".fence AS fence, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."lockedAt" AS locked_at, "workflowRuns"."leaseExpiresAt" AS lease_expires_at, "workflowRuns"."mutatingSince" AS mutating_since, "workflowRuns"."abortRequestedAt" AS abort_requested_at, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."concurrencyKey" AS concurrency_key, "workflowRuns".traceparent AS traceparent, "workflowRuns"."createdBy" AS created_by, "workflowRuns"."createdAt" AS created_at, "workflowRuns"."startedAt" AS started_at, "workflowRuns"."finishedAt" AS finished_at, "workflowRuns".version AS version
FROM "workflowRuns"
WHERE %(param_1)s AND ("workflowRuns".queue = %(queue_1)s::VARCHAR OR ("workflowRuns".queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND "workflowRuns"."runState" IN (%(run_state_1_1)s::VARCHAR, %(run_state_1_2)s::VARCHAR) AND "workflowRuns".queue = %(queue_3)s::VARCHAR AND "workflowRuns".workflow = %(workflow_1)s::VARCHAR AND "workflowRuns"."lockedBy" = %(locked_by_1)s::VARCHAR AND "workflowRuns"."createdAt" > %(created_at_1)s::TIMESTAMP WITH TIME ZONE AND "workflowRuns".id < %(id_1)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_2)s::INTEGER;

-- runs.newest_id
SELECT id FROM "workflowRuns" ORDER BY id DESC LIMIT 1;

-- run_search.scan_runs
WITH scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'aborted' AND "workflowRuns".id < %(id_1)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_2)s::INTEGER) UNION ALL (SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'failed' AND "workflowRuns".id < %(id_2)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_4)s::INTEGER)) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_5)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_6)s AND (scanned.queue = %(queue_1)s::VARCHAR OR (scanned.queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND scanned.run_state IN (%(run_state_1_1)s::VARCHAR, %(run_state_1_2)s::VARCHAR) AND scanned.queue = %(queue_3)s::VARCHAR AND scanned.workflow = %(workflow_1)s::VARCHAR AND scanned.created_at > %(created_at_1)s::TIMESTAMP WITH TIME ZONE ORDER BY scanned.id DESC)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_7)s::INTEGER) AS reached, (SELECT count(*) AS count_1
FROM scanned) AS looked_at;
WITH scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'aborted' AND "workflowRuns".id < %(id_1)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_2)s::INTEGER) UNION ALL (SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'failed' AND "workflowRuns".id < %(id_2)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_4)s::INTEGER)) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_5)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_6)s AND (scanned.queue = %(queue_1)s::VARCHAR OR (scanned.queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND scanned.run_state IN (%(run_state_1_1)s::VARCHAR, %(run_state_1_2)s::VARCHAR) AND scanned.queue = %(queue_3)s::VARCHAR AND scanned.workflow = %(workflow_1)s::VARCHAR AND scanned.created_at > %(created_at_1)s::TIMESTAMP WITH TIME ZONE ORDER BY scanned.id DESC
 LIMIT %(param_7)s::INTEGER)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_8)s::INTEGER) AS reached, (SELECT count(*) AS count_1
FROM scanned) AS looked_at;
WITH scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE ("workflowRuns".queue, "workflowRuns".id) < (%(param_1)s::VARCHAR, %(param_2)s::UUID) AND "workflowRuns".queue >= %(queue_1)s::VARCHAR ORDER BY "workflowRuns".queue DESC, "workflowRuns".id DESC
 LIMIT %(param_3)s::INTEGER)) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_4)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_5)s AND (scanned.queue = %(queue_2)s::VARCHAR OR (scanned.queue LIKE %(queue_3)s::VARCHAR || '%%' ESCAPE '/')) AND scanned.run_state IN (%(run_state_1_1)s::VARCHAR) AND scanned.queue = %(queue_4)s::VARCHAR AND scanned.workflow = %(workflow_1)s::VARCHAR AND scanned.created_at > %(created_at_1)s::TIMESTAMP WITH TIME ZONE ORDER BY scanned.id DESC
 LIMIT %(param_6)s::INTEGER)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_7)s::INTEGER) AS reached, (SELECT count(*) AS count_1
FROM scanned) AS looked_at;
WITH scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'waiting' AND "workflowRuns".id < %(id_1)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_2)s::INTEGER)) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_3)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_4)s AND (scanned.queue = %(queue_1)s::VARCHAR OR (scanned.queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND scanned.dedup_key = %(dedup_key_1)s::VARCHAR AND (scanned.waiting_for ->> %(waiting_for_1)s::TEXT) = %(param_5)s::VARCHAR AND (scanned.workflow = %(workflow_1)s::VARCHAR OR scanned.queue = %(queue_3)s::VARCHAR OR scanned.locked_by = %(locked_by_1)s::VARCHAR OR scanned.dedup_key = %(dedup_key_2)s::VARCHAR) ORDER BY scanned.id DESC
 LIMIT %(param_6)s::INTEGER)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_7)s::INTEGER) AS reached, (SELECT count(*) AS count_1
FROM scanned) AS looked_at;
WITH few AS
(SELECT few_of_each.id AS id, few_of_each.run_state AS run_state, few_of_each.queue AS queue, few_of_each.workflow AS workflow, few_of_each.locked_by AS locked_by, few_of_each.dedup_key AS dedup_key, few_of_each.waiting_for AS waiting_for, few_of_each.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'loading' AND "workflowRuns"."leaseId" IS NOT NULL
 LIMIT %(param_2)s::INTEGER) UNION ALL (SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'started' AND "workflowRuns"."leaseId" IS NOT NULL
 LIMIT %(param_4)s::INTEGER)) AS few_of_each),
scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM (SELECT few.id AS id, few.run_state AS run_state, few.queue AS queue, few.workflow AS workflow, few.locked_by AS locked_by, few.dedup_key AS dedup_key, few.waiting_for AS waiting_for, few.created_at AS created_at
FROM few
WHERE few.id < %(id_1)s::UUID AND (SELECT count(*) AS count_1
FROM few) <= %(param_5)s::INTEGER UNION ALL SELECT otherwise.id AS id, otherwise.run_state AS run_state, otherwise.queue AS queue, otherwise.workflow AS workflow, otherwise.locked_by AS locked_by, otherwise.dedup_key AS dedup_key, otherwise.waiting_for AS waiting_for, otherwise.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns".id < %(id_2)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_6)s::INTEGER)) AS otherwise
WHERE (SELECT count(*) AS count_1
FROM few) > %(param_7)s::INTEGER) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_8)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_9)s AND (scanned.queue = %(queue_1)s::VARCHAR OR (scanned.queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND scanned.locked_by = %(locked_by_1)s::VARCHAR ORDER BY scanned.id DESC
 LIMIT %(param_10)s::INTEGER)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_11)s::INTEGER) AS reached, (SELECT count(*) AS count_2
FROM scanned) AS looked_at;
WITH few AS
(SELECT few_of_each.id AS id, few_of_each.run_state AS run_state, few_of_each.queue AS queue, few_of_each.workflow AS workflow, few_of_each.locked_by AS locked_by, few_of_each.dedup_key AS dedup_key, few_of_each.waiting_for AS waiting_for, few_of_each.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'pending'
 LIMIT %(param_2)s::INTEGER)) AS few_of_each),
scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM (SELECT few.id AS id, few.run_state AS run_state, few.queue AS queue, few.workflow AS workflow, few.locked_by AS locked_by, few.dedup_key AS dedup_key, few.waiting_for AS waiting_for, few.created_at AS created_at
FROM few
WHERE few.id < %(id_1)s::UUID AND (SELECT count(*) AS count_1
FROM few) <= %(param_3)s::INTEGER UNION ALL SELECT otherwise.id AS id, otherwise.run_state AS run_state, otherwise.queue AS queue, otherwise.workflow AS workflow, otherwise.locked_by AS locked_by, otherwise.dedup_key AS dedup_key, otherwise.waiting_for AS waiting_for, otherwise.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns".id < %(id_2)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_4)s::INTEGER)) AS otherwise
WHERE (SELECT count(*) AS count_1
FROM few) > %(param_5)s::INTEGER) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_6)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_7)s AND (scanned.queue = %(queue_1)s::VARCHAR OR (scanned.queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND scanned.run_state IN (%(run_state_1_1)s::VARCHAR) ORDER BY scanned.id DESC
 LIMIT %(param_8)s::INTEGER)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_9)s::INTEGER) AS reached, (SELECT count(*) AS count_2
FROM scanned) AS looked_at;
WITH scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns".id IN (%(id_1_1)s::UUID) AND "workflowRuns".id < %(id_2)s::UUID ORDER BY "workflowRuns".id DESC
 LIMIT %(param_1)s::INTEGER)) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_2)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_3)s AND (scanned.queue = %(queue_1)s::VARCHAR OR (scanned.queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND scanned.id IN (%(id_3_1)s::UUID) ORDER BY scanned.id DESC
 LIMIT %(param_4)s::INTEGER)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_5)s::INTEGER) AS reached, (SELECT count(*) AS count_1
FROM scanned) AS looked_at;
WITH scanned AS
(SELECT stretches.id AS id, stretches.run_state AS run_state, stretches.queue AS queue, stretches.workflow AS workflow, stretches.locked_by AS locked_by, stretches.dedup_key AS dedup_key, stretches.waiting_for AS waiting_for, stretches.created_at AS created_at
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE ("workflowRuns".queue, "workflowRuns".id) < (%(param_1)s::VARCHAR, %(param_2)s::UUID) AND "workflowRuns".queue >= %(queue_1)s::VARCHAR ORDER BY "workflowRuns".queue DESC, "workflowRuns".id DESC
 LIMIT %(param_3)s::INTEGER) UNION ALL (SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE ("workflowRuns".queue, "workflowRuns".id) < (%(param_4)s::VARCHAR, %(param_5)s::UUID) AND "workflowRuns".queue >= %(queue_2)s::VARCHAR ORDER BY "workflowRuns".queue DESC, "workflowRuns".id DESC
 LIMIT %(param_6)s::INTEGER)) AS stretches ORDER BY stretches.id DESC
 LIMIT %(param_7)s::INTEGER)
 SELECT array((SELECT scanned.id
FROM scanned
WHERE %(param_8)s AND (scanned.queue = %(queue_3)s::VARCHAR OR scanned.queue = %(queue_4)s::VARCHAR) ORDER BY scanned.id DESC
 LIMIT %(param_9)s::INTEGER)) AS run_ids, (SELECT scanned.id
FROM scanned ORDER BY scanned.id
 LIMIT %(param_10)s::INTEGER) AS reached, (SELECT count(*) AS count_1
FROM scanned) AS looked_at;

-- run_search.find_by_word
WITH RECURSIVE pairs AS (
  (SELECT queue, workflow, 1 AS number FROM "workflowRuns"
    WHERE "dedupKey" IS NOT NULL AND "runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting') ORDER BY queue, workflow LIMIT 1)
  UNION ALL
  SELECT n.queue, n.workflow, p.number + 1 FROM pairs p CROSS JOIN LATERAL (
    SELECT r.queue, r.workflow FROM "workflowRuns" r
     WHERE r."dedupKey" IS NOT NULL AND r."runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting')
       AND (r.queue, r.workflow) > (p.queue, p.workflow)
     ORDER BY r.queue, r.workflow LIMIT 1) n
   WHERE p.number < 1000)
(SELECT r.id FROM pairs p JOIN "workflowRuns" r
     ON r.queue = p.queue AND r.workflow = p.workflow AND r."dedupKey" = %(word)s
    AND r."runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting') LIMIT %(limit)s)
UNION (SELECT r.id FROM "workflowRuns" r
        WHERE r."leaseId" IS NOT NULL AND r."lockedBy" = %(word)s LIMIT %(limit)s)
UNION (SELECT r.id FROM "workflowRuns" r
        WHERE (r.queue, r.id) <= (%(word)s, CAST(%(last)s AS uuid)) AND r.queue >= %(word)s
        ORDER BY r.queue DESC, r.id DESC LIMIT %(limit)s);

-- run_search.find_in_states
SELECT "some".id
FROM ((SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'pending'
 LIMIT %(param_2)s::INTEGER) UNION ALL (SELECT "workflowRuns".id AS id, "workflowRuns"."runState" AS run_state, "workflowRuns".queue AS queue, "workflowRuns".workflow AS workflow, "workflowRuns"."lockedBy" AS locked_by, "workflowRuns"."dedupKey" AS dedup_key, "workflowRuns"."waitingFor" AS waiting_for, "workflowRuns"."createdAt" AS created_at
FROM "workflowRuns"
WHERE "workflowRuns"."runState" = 'failed'
 LIMIT %(param_4)s::INTEGER)) AS "some"
WHERE %(param_5)s AND ("some".queue = %(queue_1)s::VARCHAR OR ("some".queue LIKE %(queue_2)s::VARCHAR || '%%' ESCAPE '/')) AND "some".run_state IN (%(run_state_1_1)s::VARCHAR, %(run_state_1_2)s::VARCHAR) AND "some".queue = %(queue_3)s::VARCHAR AND "some".workflow = %(workflow_1)s::VARCHAR AND "some".locked_by = %(locked_by_1)s::VARCHAR AND "some".created_at > %(created_at_1)s::TIMESTAMP WITH TIME ZONE ORDER BY "some".id DESC
 LIMIT %(param_6)s::INTEGER;

-- run_search.lines_of
SELECT r.id, r.workflow, r.queue, r."runState" AS run_state,
       r."waitingFor"->>'reason' AS waiting_reason,
       r."gatedClaimKey" IS NOT NULL AS gated, r."stepIndex" AS step_index,
       r."stepName" AS step_name, r.attempt, r."lockedBy" AS locked_by,
       r."leaseExpiresAt" AS lease_expires_at, r."availableAt" AS available_at,
       r."abortRequestedAt" AS abort_requested_at, r.error->>'code' AS error_code,
       r."createdAt" AS created_at, r."finishedAt" AS finished_at
  FROM "workflowRuns" r WHERE r.id = ANY (CAST(%(run_ids)s AS uuid[])) ORDER BY r.id DESC;

-- events.events_of
SELECT seq, kind, at, "fromState" AS from_state, "toState" AS to_state, fence, executor, actor,
       "requestId" AS request_id, detail
  FROM "runEvents" WHERE "runId" = %(run_id)s ORDER BY seq;

-- events.newest_events
SELECT seq, kind, at, "fromState" AS from_state, "toState" AS to_state, fence, executor, actor,
       "requestId" AS request_id, detail
  FROM "runEvents" WHERE "runId" = %(run_id)s ORDER BY seq DESC LIMIT %(limit)s;

-- steps.steps_of
SELECT "stepIndex" AS step_index, name, type, state, output, error, "startedAt" AS started_at,
       "finishedAt" AS finished_at
  FROM "workflowSteps" WHERE "runId" = %(run_id)s ORDER BY "stepIndex";

-- steps.used_outputs
SELECT u."runId" AS run_id, jsonb_object_agg(u.name, u.output) AS outputs FROM (
  SELECT DISTINCT ON (s."runId", s.name) s."runId", s.name, s.output
    FROM "workflowRuns" r
  LEFT JOIN workflows r_w
    ON r_w.name = r.workflow AND r_w.version = r."workflowVersion"
 CROSS JOIN LATERAL (SELECT r_w.steps->r."stepName") AS r_s(step_definition)
    JOIN "workflowSteps" s ON s."runId" = r.id
     AND s.state = 'finished' AND s."stepIndex" < r."stepIndex"
   WHERE r.id = ANY (CAST(%(run_ids)s AS uuid[]))
     AND CASE WHEN jsonb_array_length(step_definition->'uses') > 0
         THEN step_definition->'uses' ? s.name
         ELSE s."stepIndex" = (
           SELECT max(p."stepIndex") FROM "workflowSteps" p
            WHERE p."runId" = r.id AND p.state = 'finished'
              AND p."stepIndex" < r."stepIndex") END
   ORDER BY s."runId", s.name, s."stepIndex" DESC) u
 GROUP BY u."runId";

-- excerpts.payload_excerpts
SELECT left(jsonb_pretty(input), %(characters)s) AS input,
       left(jsonb_pretty(output), %(characters)s) AS output,
       left(jsonb_pretty(error), %(characters)s) AS error,
       left(jsonb_pretty(progress), %(characters)s) AS progress,
       left(jsonb_pretty("waitingFor"), %(characters)s) AS waiting_for
  FROM "workflowRuns" WHERE id = %(run_id)s;

-- excerpts.step_excerpts
SELECT "stepIndex" AS step_index, name, type, state,
       left(jsonb_pretty(output), %(characters)s) AS output,
       left(jsonb_pretty(error), %(characters)s) AS error,
       "startedAt" AS started_at, "finishedAt" AS finished_at
  FROM "workflowSteps" WHERE "runId" = %(run_id)s ORDER BY "stepIndex" DESC LIMIT %(limit)s;

-- explain.see_one_moment
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- explain.surroundings
SELECT clock_timestamp() AS now, e.kind AS event, e.at AS event_at, e.detail AS event_detail,
       coalesce((w.steps->r."stepName"->'retry'->>'maxFailures')::integer, r."maxFailures")
         AS max_failures, r.releases,
       r."leaseSeconds" AS lease_seconds, k."lastTickAt" AS last_tick_at,
       k."amnestySince" AS amnesty_since, coalesce(q.paused, false) AS is_paused,
       q."changedBy" AS queue_changed_by, q."changedAt" AS queue_changed_at,
       p.actor AS paused_by, p.at AS paused_at
  FROM "workflowRuns" r CROSS JOIN keeper k
  JOIN "runEvents" e ON e."runId" = r.id AND e.seq = r.version
  LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
  LEFT JOIN queues q ON q.name = r."stepQueue"
  LEFT JOIN LATERAL (
    SELECT a.actor, a.at
      FROM (SELECT * FROM "operatorActs" ORDER BY id DESC LIMIT 1000) a
     WHERE a.kind = 'pause-queue' AND a.subject = q.name
     ORDER BY a.id DESC LIMIT 1) p ON q.paused
 WHERE r.id = %(run_id)s;

-- explain.leased_from
SELECT r."lockedBy", r.queue, count(*), sum(count(*)) OVER ()::bigint
  FROM "workflowRuns" r
 WHERE r."leaseId" IS NOT NULL AND r."stepQueue" = %(queue)s
 GROUP BY r."lockedBy", r.queue
 ORDER BY count(*) DESC, r."lockedBy", r.queue LIMIT 100;

-- explain.groups_polling
WITH polling AS (
  SELECT e.*, CASE
      WHEN NOT e."seenAt" > clock_timestamp() - interval '90 seconds' THEN 'unseen'
      WHEN e.state <> 'active' THEN e.state
      WHEN e.queues = '{}' THEN 'silent'
      WHEN e."stepTypes" = '{}' OR %(step_type)s = ANY (e."stepTypes") THEN 'serving'
      ELSE 'other-types' END AS standing
    FROM executors e
   WHERE %(queue)s = ANY (e.queues)
      OR (e.queues = '{}' AND e.state = 'active' AND e."seenAt" > clock_timestamp() - interval '90 seconds')),
held AS (
  SELECT p.*, CASE WHEN p.standing = 'serving' THEN (
      SELECT count(*) FROM "workflowRuns" r
       WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = p.session
         AND r."lockedBy" = p."fullName") END AS leases
    FROM polling p)
SELECT h.standing, count(*),
       (array_agg(h."fullName" ORDER BY h."seenAt" DESC, h."fullName"))[1:3],
       max(h."seenAt"), coalesce(sum(h.slots), 0),
       coalesce(sum(greatest(h.slots - h.leases, 0)), 0)::bigint,
       count(*) FILTER (WHERE h.slots IS NULL)
  FROM held h GROUP BY h.standing ORDER BY h.standing;

-- explain.runs_ahead
SELECT CASE WHEN r."gatedClaimKey" IS NULL THEN (
         SELECT count(*) FROM (
           SELECT FROM "workflowRuns" a
            WHERE a."stepQueue" = r."stepQueue" AND a."runState" = 'pending'
              AND (a."claimKey", a.id) < (r."claimKey", r.id)
            ORDER BY a."claimKey", a.id LIMIT 10000) before)
       ELSE (
         SELECT count(*) FROM (
           SELECT FROM "workflowRuns" a
            WHERE a.queue = r.queue AND a."concurrencyKey" = r."concurrencyKey"
              AND a."runState" IN ('pending', 'loading',
                                   'started')
              AND (a."gatedClaimKey", a.id) < (r."gatedClaimKey", r.id)
            ORDER BY a."gatedClaimKey" NULLS FIRST, a.id LIMIT 10000) before) END
  FROM "workflowRuns" r WHERE r.id = %(run_id)s AND r."runState" = 'pending';

-- claim_requests.lock
SELECT pg_advisory_xact_lock(hashtextextended(q.token_name || '/' || q.request_id::text, 0))
  FROM (SELECT CAST(%(token_name)s AS text) AS token_name,
               CAST(%(request_id)s AS uuid) AS request_id) q;

-- claim_requests.lock_free
SELECT pg_try_advisory_xact_lock(hashtextextended(q.token_name || '/' || q.request_id::text, 0)) FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(request_ids)s AS uuid[]))
    WITH ORDINALITY AS q(token_name, request_id, place) ORDER BY q.place;

-- claim_requests.granted
SELECT c."tokenName", c."requestId", c."bodyHash", c."runIds", c."leaseIds"
  FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(request_ids)s AS uuid[]))
    WITH ORDINALITY AS q(token_name, request_id, place)
  JOIN "claimRequests" c ON c."tokenName" = q.token_name AND c."requestId" = q.request_id;

-- claim_requests.keep
INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at, "runIds",
                             "leaseIds")
VALUES (%(token_name)s, %(request_id)s, %(session)s, %(body_hash)s, clock_timestamp(),
        ARRAY[CAST(%(run_id)s AS uuid)], ARRAY[CAST(%(lease_id)s AS uuid)]);

-- claim_requests.drop_old
DELETE FROM "claimRequests" WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM "claimRequests"
   WHERE at < (SELECT clock_timestamp()) - interval '24 hours'
   ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED));

-- bulk_acts.begin
INSERT INTO "bulkActs" ("tokenName", "idempotencyKey", "bodyHash", at, before, "isOver",
                        matched, changed, refused)
VALUES (%(token_name)s, %(idempotency_key)s, %(body_hash)s, clock_timestamp(), %(before)s, false, 0, 0, 0)
ON CONFLICT DO NOTHING;

-- bulk_acts.progress
SELECT "bodyHash", before, "isOver", matched, changed, refused FROM "bulkActs"
 WHERE "tokenName" = %(token_name)s AND "idempotencyKey" = %(idempotency_key)s;

-- bulk_acts.advance
UPDATE "bulkActs" SET before = %(past)s, matched = matched + 1,
    changed = changed + CAST(%(changed)s AS boolean)::integer,
    refused = refused + CAST(%(refused)s AS boolean)::integer
 WHERE "tokenName" = %(token_name)s AND "idempotencyKey" = %(idempotency_key)s AND before > %(past)s;

-- bulk_acts.skip
UPDATE "bulkActs" SET before = %(through)s
 WHERE "tokenName" = %(token_name)s AND "idempotencyKey" = %(idempotency_key)s AND before > %(through)s;

-- bulk_acts.end
UPDATE "bulkActs" SET "isOver" = true
 WHERE "tokenName" = %(token_name)s AND "idempotencyKey" = %(idempotency_key)s;

-- bulk_acts.drop_old
DELETE FROM "bulkActs" WHERE at < clock_timestamp() - interval '7 days';

-- gates.let_in
SELECT pg_advisory_xact_lock(1734440037, l.number)
  FROM (SELECT DISTINCT hashtext(k.queue || '/' || k.key) & 4095 AS number
          FROM unnest(CAST(%(queues)s AS text[]), CAST(%(keys)s AS text[])) AS k(queue, key) ORDER BY number) l;
WITH room AS MATERIALIZED (
  SELECT k.queue, k.key, coalesce((
         SELECT q."maxConcurrencyPerKey" FROM queues q WHERE q.name = k.queue), 1) - (
           SELECT count(*) FROM "workflowRuns" r
            WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started') AND r."gatedClaimKey" IS NULL) AS places
    FROM (SELECT DISTINCT queue, key FROM unnest(CAST(%(queues)s AS text[]), CAST(%(keys)s AS text[])) AS k(queue, key)) k),
next AS MATERIALIZED (
  SELECT c.id FROM room m CROSS JOIN LATERAL (
    SELECT r.id FROM "workflowRuns" r
     WHERE r.queue = m.queue AND r."concurrencyKey" = m.key AND r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started')
       AND r."gatedClaimKey" IS NOT NULL
     ORDER BY r."gatedClaimKey" NULLS FIRST, r.id LIMIT greatest(m.places, 0)
       FOR UPDATE OF r SKIP LOCKED) c),
let_in AS (
  UPDATE "workflowRuns" r SET "claimKey" = r."gatedClaimKey", "gatedClaimKey" = NULL
    FROM next n
   WHERE r.id = n.id AND r."gatedClaimKey" IS NOT NULL AND r."runState" = 'pending'
     AND r.id = ANY (ARRAY(SELECT id FROM next))
  RETURNING r."stepQueue")
SELECT "stepQueue", count(*) FROM let_in GROUP BY "stepQueue";

-- gates.hold
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
SELECT pg_advisory_xact_lock(1734440037, l.number)
  FROM (SELECT DISTINCT hashtext(k.queue || '/' || k.key) & 4095 AS number
          FROM unnest(CAST(%(queues)s AS text[]), CAST(%(keys)s AS text[])) AS k(queue, key) ORDER BY number) l;

-- gates.standing
SELECT coalesce((SELECT r."gatedClaimKey" IS NOT NULL FROM "workflowRuns" r
                  WHERE r.id = %(run_id)s), false) AS is_gated,
       coalesce((
         SELECT q."maxConcurrencyPerKey" FROM queues q WHERE q.name = k.queue), 1) AS allowed, places.taken, places.holders
  FROM (SELECT CAST(%(queue)s AS text) AS queue, CAST(%(key)s AS text) AS key) k
 CROSS JOIN LATERAL (
   SELECT count(*) AS taken, (array_agg(r.id ORDER BY r.id))[1:3] AS holders
     FROM "workflowRuns" r
    WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started') AND r."gatedClaimKey" IS NULL) places;

-- gates.hold_back
SELECT k.queue, k.key FROM unnest(CAST(%(queues)s AS text[]), CAST(%(keys)s AS text[])) AS k(queue, key)
 WHERE pg_try_advisory_xact_lock(1734440037, hashtext(k.queue || '/' || k.key) & 4095);
WITH surplus AS MATERIALIZED (
  SELECT k.queue, k.key, -(coalesce((
         SELECT q."maxConcurrencyPerKey" FROM queues q WHERE q.name = k.queue), 1) - (
           SELECT count(*) FROM "workflowRuns" r
            WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started') AND r."gatedClaimKey" IS NULL)) AS places
    FROM unnest(CAST(%(queues)s AS text[]), CAST(%(keys)s AS text[])) AS k(queue, key)),
last AS MATERIALIZED (
  SELECT c.id FROM surplus s CROSS JOIN LATERAL (
    SELECT r.id FROM "workflowRuns" r
     WHERE r.queue = s.queue AND r."concurrencyKey" = s.key AND r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started') AND r."gatedClaimKey" IS NULL
       AND r."runState" = 'pending'
     ORDER BY r."claimKey" DESC, r.id DESC LIMIT greatest(s.places, 0)
       FOR UPDATE OF r SKIP LOCKED) c)
UPDATE "workflowRuns" r SET "gatedClaimKey" = r."claimKey", "claimKey" = 'infinity'
  FROM last l
 WHERE r.id = l.id AND r."gatedClaimKey" IS NULL AND r."runState" = 'pending'
   AND r.id = ANY (ARRAY(SELECT id FROM last));

-- gates.keys_after
WITH RECURSIVE page AS (
  (SELECT r.queue, r."concurrencyKey" AS key, 1 AS number FROM "workflowRuns" r
    WHERE r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started') AND (r.queue, r."concurrencyKey") > (%(after_queue)s, %(after_key)s)
    ORDER BY r.queue, r."concurrencyKey" LIMIT 1)
  UNION ALL
  SELECT n.queue, n.key, p.number + 1
    FROM page p CROSS JOIN LATERAL (
      SELECT r.queue, r."concurrencyKey" AS key FROM "workflowRuns" r
       WHERE r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started') AND (r.queue, r."concurrencyKey") > (p.queue, p.key)
       ORDER BY r.queue, r."concurrencyKey" LIMIT 1) n
   WHERE p.number < %(limit)s)
SELECT k.queue, k.key, (
         SELECT r.id FROM "workflowRuns" r
          WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started')
            AND r."gatedClaimKey" IS NOT NULL
          ORDER BY r."gatedClaimKey" NULLS FIRST, r.id LIMIT 1) IS NOT NULL AS waited_for,
       coalesce((
         SELECT q."maxConcurrencyPerKey" FROM queues q WHERE q.name = k.queue), 1) - (
           SELECT count(*) FROM "workflowRuns" r
            WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('pending', 'loading', 'started') AND r."gatedClaimKey" IS NULL) AS room
  FROM page k ORDER BY k.number;

-- limits.put
INSERT INTO queues AS q (name, paused, "maxConcurrency", "ratePerSecond", "maxConcurrencyPerKey",
                         "changedBy", "changedAt")
VALUES (%(queue)s, false, %(max_concurrency)s, %(rate_per_second)s, %(max_concurrency_per_key)s, %(actor)s,
        clock_timestamp())
ON CONFLICT (name) DO UPDATE SET "maxConcurrency" = excluded."maxConcurrency",
  "ratePerSecond" = excluded."ratePerSecond",
  "maxConcurrencyPerKey" = excluded."maxConcurrencyPerKey", "leasedAtMost" = NULL,
  "changedBy" = excluded."changedBy", "changedAt" = excluded."changedAt";

-- limits.hold
WITH held AS MATERIALIZED (
  SELECT q.* FROM queues q WHERE q.name = ANY (CAST(%(queues)s AS text[])) AND (q."maxConcurrency" IS NOT NULL OR q."ratePerSecond" IS NOT NULL)
   ORDER BY q.name FOR UPDATE OF q),
timed AS MATERIALIZED (SELECT h.*, clock_timestamp() AS now FROM held h),
slotted AS (SELECT t.*, floor(extract(epoch FROM now) * 20)::bigint AS slot FROM timed t)
SELECT h.name, h."maxConcurrency", CASE
         WHEN h."changedAt" < h.now - interval '15 seconds'
         THEN h."leasedAtMost" END,
       h."ratePerSecond", coalesce(g.granted, 0), coalesce(g.oldest, 0),
       ((g.oldest_slot + 20 + 1) / 20.0
         - extract(epoch FROM h.now))::double precision
  FROM slotted h CROSS JOIN LATERAL (
    SELECT sum(g.runs)::integer AS granted, min(g.slot) AS oldest_slot,
           (array_agg(g.runs ORDER BY g.slot))[1] AS oldest
      FROM unnest(h."grantSlots", h."grantCounts") AS g(slot, runs) WHERE abs(g.slot - h.slot) <= 20) g
 ORDER BY h.name;

-- limits.look
WITH held AS MATERIALIZED (
  SELECT q.* FROM queues q WHERE q.name = ANY (CAST(%(queues)s AS text[])) AND (q."maxConcurrency" IS NOT NULL OR q."ratePerSecond" IS NOT NULL)
   ORDER BY q.name),
timed AS MATERIALIZED (SELECT h.*, clock_timestamp() AS now FROM held h),
slotted AS (SELECT t.*, floor(extract(epoch FROM now) * 20)::bigint AS slot FROM timed t)
SELECT h.name, h."maxConcurrency", CASE
         WHEN h."changedAt" < h.now - interval '15 seconds'
         THEN h."leasedAtMost" END,
       h."ratePerSecond", coalesce(g.granted, 0), coalesce(g.oldest, 0),
       ((g.oldest_slot + 20 + 1) / 20.0
         - extract(epoch FROM h.now))::double precision
  FROM slotted h CROSS JOIN LATERAL (
    SELECT sum(g.runs)::integer AS granted, min(g.slot) AS oldest_slot,
           (array_agg(g.runs ORDER BY g.slot))[1] AS oldest
      FROM unnest(h."grantSlots", h."grantCounts") AS g(slot, runs) WHERE abs(g.slot - h.slot) <= 20) g
 ORDER BY h.name;

-- limits.count_leases
SELECT count(*) FROM "workflowRuns" WHERE "leaseId" IS NOT NULL AND "stepQueue" = %(queue)s;

-- limits.note_grants
UPDATE queues q SET "leasedAtMost" = CASE
      WHEN q."changedAt" < h.now - interval '15 seconds'
      THEN h.leased_at_most END, ("grantSlots", "grantCounts") = (
    SELECT coalesce(array_agg(s.slot), '{}'), coalesce(array_agg(s.runs), '{}') FROM (
      SELECT g.slot, sum(g.runs)::integer AS runs FROM (
        SELECT h.slot, h.runs
         UNION ALL
        SELECT g.slot, g.runs FROM unnest(q."grantSlots", q."grantCounts") AS g(slot, runs)
         WHERE abs(g.slot - h.slot) <= 20) g
       WHERE q."ratePerSecond" IS NOT NULL GROUP BY g.slot) s)
  FROM (
    SELECT k.*, now, floor(extract(epoch FROM now) * 20)::bigint AS slot
      FROM unnest(CAST(%(queues)s AS text[]), CAST(%(runs)s AS integer[]),
        CAST(%(leased_at_most)s AS integer[])) AS k(queue, runs, leased_at_most)
     CROSS JOIN clock_timestamp() AS now) h
 WHERE q.name = h.queue;

-- limits.limited_among
SELECT q.name FROM queues q WHERE q.name = ANY (CAST(%(names)s AS text[])) AND (q."maxConcurrency" IS NOT NULL OR q."ratePerSecond" IS NOT NULL);

-- claims.claim
WITH asked_queue AS MATERIALIZED (
  SELECT coalesce(bool_or(q.paused), false) AS paused,
         coalesce(bool_or((q."maxConcurrency" IS NOT NULL OR q."ratePerSecond" IS NOT NULL)), false) AS limited
    FROM queues q WHERE q.name = %(queue)s),
asked AS MATERIALIZED (
  SELECT w.*
    FROM unnest(CAST(%(limits)s AS integer[]), CAST(%(executors)s AS text[]),
      CAST(%(sessions)s AS uuid[]), CAST(%(lease_seconds)s AS integer[]), CAST(%(request_ids)s AS uuid[]),
      CAST(%(token_names)s AS text[]), CAST(%(body_hashes)s AS bytea[]), CAST(%(answer_bytes)s AS integer[]),
      CAST(%(going_on)s AS boolean[]))
      WITH ORDINALITY AS w(wanted, executor, session, lease_seconds, request_id, token_name,
                           body_hash, answer_bytes, goes_on, wish)
   WHERE NOT EXISTS (
       SELECT FROM executors e
        WHERE e."fullName" = w.executor AND e.session = w.session AND e.state <> 'active')
     AND (w.goes_on OR (SELECT c.at FROM "claimRequests" c
       WHERE c."tokenName" = w.token_name AND c."requestId" = w.request_id) IS NULL)),
wishes AS (
  SELECT a.*, row_number() OVER (ORDER BY turn, a.wish) AS place
    FROM asked a CROSS JOIN LATERAL generate_series(1, a.wanted) AS turn),
candidates AS MATERIALIZED (
  SELECT r.id, r."claimKey",
         octet_length(r.input::text)
           + octet_length(coalesce(r."resumeInput", r.input)::text)
           + CASE WHEN r."stepIndex" = 0 THEN 0 ELSE coalesce((
               SELECT sum(octet_length(s.output::text)) FROM "workflowSteps" s
                WHERE s."runId" = r.id AND s.state = 'finished'), 0) END AS bytes
    FROM "workflowRuns" r
   WHERE r."stepQueue" = %(queue)s AND r."runState" = 'pending'
     AND r."claimKey" >= CAST(%(from_key)s AS timestamptz) AND r."claimKey" < 'infinity'
     AND (SELECT NOT q.paused AND (NOT q.limited OR CAST(%(at_most)s AS integer) IS NOT NULL)
            FROM asked_queue q)
   ORDER BY r."claimKey", r.id
   LIMIT (SELECT least(coalesce(sum(wanted), 0), CAST(%(at_most)s AS integer)) FROM asked)
   FOR UPDATE OF r SKIP LOCKED),
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
  RETURNING r.*, d.wish, d.place, d.bytes, d.request_id, d.token_name, d.body_hash, d.goes_on),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'claimed', "lockedAt", 'pending', "runState", "leaseId", fence,
         "lockedBy", request_id::text, token_name, '{}'
    FROM leased),
granted AS (
  SELECT token_name, request_id, "lockedSession" AS session, body_hash, goes_on,
         array_agg(id ORDER BY place) AS run_ids, array_agg("leaseId" ORDER BY place) AS lease_ids
    FROM leased GROUP BY token_name, request_id, "lockedSession", body_hash, goes_on),
kept AS (
  INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at, "runIds",
                               "leaseIds")
  SELECT token_name, request_id, session, body_hash, clock_timestamp(), run_ids, lease_ids
    FROM granted WHERE NOT goes_on ORDER BY token_name, request_id),
kept_on AS (
  UPDATE "claimRequests" c SET "runIds" = c."runIds" || g.run_ids,
         "leaseIds" = c."leaseIds" || g.lease_ids
    FROM granted g
   WHERE g.goes_on AND c."tokenName" = g.token_name AND c."requestId" = g.request_id
     AND c."tokenName" = ANY (ARRAY(SELECT token_name FROM granted WHERE goes_on))
     AND c."requestId" = ANY (ARRAY(SELECT request_id FROM granted WHERE goes_on)))
SELECT q.limited, l.wish, l.bytes, l."claimKey", l."id" AS id, l."workflow" AS workflow, l."workflowVersion" AS workflow_version, l."queue" AS queue, l."stepQueue" AS step_queue, l."runState" AS run_state, l."priority" AS priority, l."availableAt" AS available_at, l."stepIndex" AS step_index, l."stepName" AS step_name, l."stepType" AS step_type, l."input" AS input, l."output" AS output, l."error" AS error, l."progress" AS progress, l."attempt" AS attempt, l."failures" AS failures, l."crashes" AS crashes, l."maxFailures" AS max_failures, l."maxCrashes" AS max_crashes, l."fence" AS fence, l."lockedBy" AS locked_by, l."lockedAt" AS locked_at, l."leaseExpiresAt" AS lease_expires_at, l."mutatingSince" AS mutating_since, l."abortRequestedAt" AS abort_requested_at, l."waitingFor" AS waiting_for, l."dedupKey" AS dedup_key, l."concurrencyKey" AS concurrency_key, l."traceparent" AS traceparent, l."createdBy" AS created_by, l."createdAt" AS created_at, l."startedAt" AS started_at, l."finishedAt" AS finished_at, l."version" AS version,
  l."resumeInput" AS resume_input, l."leaseId" AS lease_id, l."leaseSeconds" AS lease_seconds,
  step_definition->'params' AS params,
  coalesce((step_definition->>'mutating')::boolean, false) AS mutating,
  (step_definition->>'timeoutSeconds')::double precision AS timeout_seconds
  FROM asked_queue q LEFT JOIN (leased l
  LEFT JOIN workflows l_w
    ON l_w.name = l.workflow AND l_w.version = l."workflowVersion"
 CROSS JOIN LATERAL (SELECT l_w.steps->l."stepName") AS l_s(step_definition)) ON true
 ORDER BY l.place;

-- claims.first_keys
SELECT q.name, first."claimKey"
  FROM unnest(CAST(%(queues)s AS text[])) AS q(name)
 CROSS JOIN LATERAL (
   SELECT r."claimKey" FROM "workflowRuns" r
    WHERE r."stepQueue" = q.name AND r."runState" = 'pending' AND r."claimKey" < 'infinity'
    ORDER BY r."claimKey", r.id LIMIT 1) first;

-- claims.claim_run
WITH candidates AS MATERIALIZED (
  SELECT r.id, r."runState" AS was
    FROM "workflowRuns" r
   WHERE r.id = %(run_id)s
     AND CASE WHEN CAST(%(input)s AS text) IS NULL
         THEN r."runState" = 'pending' AND r."claimKey" < 'infinity'
         ELSE r."runState" = 'waiting'
              AND r."waitingFor"->>'reason' = 'input'
              AND r.version = CAST(%(seen_version)s AS bigint) END
     AND NOT EXISTS (
       SELECT FROM queues q
        WHERE q.name = r."stepQueue" AND (q.paused
           OR ((q."maxConcurrency" IS NOT NULL OR q."ratePerSecond" IS NOT NULL) AND q.name IS DISTINCT FROM CAST(%(within_limits_of)s AS text))))
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
SELECT l."id" AS id, l."workflow" AS workflow, l."workflowVersion" AS workflow_version, l."queue" AS queue, l."stepQueue" AS step_queue, l."runState" AS run_state, l."priority" AS priority, l."availableAt" AS available_at, l."stepIndex" AS step_index, l."stepName" AS step_name, l."stepType" AS step_type, l."input" AS input, l."output" AS output, l."error" AS error, l."progress" AS progress, l."attempt" AS attempt, l."failures" AS failures, l."crashes" AS crashes, l."maxFailures" AS max_failures, l."maxCrashes" AS max_crashes, l."fence" AS fence, l."lockedBy" AS locked_by, l."lockedAt" AS locked_at, l."leaseExpiresAt" AS lease_expires_at, l."mutatingSince" AS mutating_since, l."abortRequestedAt" AS abort_requested_at, l."waitingFor" AS waiting_for, l."dedupKey" AS dedup_key, l."concurrencyKey" AS concurrency_key, l."traceparent" AS traceparent, l."createdBy" AS created_by, l."createdAt" AS created_at, l."startedAt" AS started_at, l."finishedAt" AS finished_at, l."version" AS version,
  l."resumeInput" AS resume_input, l."leaseId" AS lease_id, l."leaseSeconds" AS lease_seconds,
  step_definition->'params' AS params,
  coalesce((step_definition->>'mutating')::boolean, false) AS mutating,
  (step_definition->>'timeoutSeconds')::double precision AS timeout_seconds FROM leased l
  LEFT JOIN workflows l_w
    ON l_w.name = l.workflow AND l_w.version = l."workflowVersion"
 CROSS JOIN LATERAL (SELECT l_w.steps->l."stepName") AS l_s(step_definition);

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
SELECT f."id" AS id, f."workflow" AS workflow, f."workflowVersion" AS workflow_version, f."queue" AS queue, f."stepQueue" AS step_queue, f."runState" AS run_state, f."priority" AS priority, f."availableAt" AS available_at, f."stepIndex" AS step_index, f."stepName" AS step_name, f."stepType" AS step_type, f."input" AS input, f."output" AS output, f."error" AS error, f."progress" AS progress, f."attempt" AS attempt, f."failures" AS failures, f."crashes" AS crashes, f."maxFailures" AS max_failures, f."maxCrashes" AS max_crashes, f."fence" AS fence, f."lockedBy" AS locked_by, f."lockedAt" AS locked_at, f."leaseExpiresAt" AS lease_expires_at, f."mutatingSince" AS mutating_since, f."abortRequestedAt" AS abort_requested_at, f."waitingFor" AS waiting_for, f."dedupKey" AS dedup_key, f."concurrencyKey" AS concurrency_key, f."traceparent" AS traceparent, f."createdBy" AS created_by, f."createdAt" AS created_at, f."startedAt" AS started_at, f."finishedAt" AS finished_at, f."version" AS version,
  f."resumeInput" AS resume_input, f."leaseId" AS lease_id, f."leaseSeconds" AS lease_seconds,
  step_definition->'params' AS params,
  coalesce((step_definition->>'mutating')::boolean, false) AS mutating,
  (step_definition->>'timeoutSeconds')::double precision AS timeout_seconds FROM refreshed f
  LEFT JOIN workflows f_w
    ON f_w.name = f.workflow AND f_w.version = f."workflowVersion"
 CROSS JOIN LATERAL (SELECT f_w.steps->f."stepName") AS f_s(step_definition) ORDER BY f.place;

-- claims.held_dispatches
SELECT r."id" AS id, r."workflow" AS workflow, r."workflowVersion" AS workflow_version, r."queue" AS queue, r."stepQueue" AS step_queue, r."runState" AS run_state, r."priority" AS priority, r."availableAt" AS available_at, r."stepIndex" AS step_index, r."stepName" AS step_name, r."stepType" AS step_type, r."input" AS input, r."output" AS output, r."error" AS error, r."progress" AS progress, r."attempt" AS attempt, r."failures" AS failures, r."crashes" AS crashes, r."maxFailures" AS max_failures, r."maxCrashes" AS max_crashes, r."fence" AS fence, r."lockedBy" AS locked_by, r."lockedAt" AS locked_at, r."leaseExpiresAt" AS lease_expires_at, r."mutatingSince" AS mutating_since, r."abortRequestedAt" AS abort_requested_at, r."waitingFor" AS waiting_for, r."dedupKey" AS dedup_key, r."concurrencyKey" AS concurrency_key, r."traceparent" AS traceparent, r."createdBy" AS created_by, r."createdAt" AS created_at, r."startedAt" AS started_at, r."finishedAt" AS finished_at, r."version" AS version,
  r."resumeInput" AS resume_input, r."leaseId" AS lease_id, r."leaseSeconds" AS lease_seconds,
  step_definition->'params' AS params,
  coalesce((step_definition->>'mutating')::boolean, false) AS mutating,
  (step_definition->>'timeoutSeconds')::double precision AS timeout_seconds FROM "workflowRuns" r
  LEFT JOIN workflows r_w
    ON r_w.name = r.workflow AND r_w.version = r."workflowVersion"
 CROSS JOIN LATERAL (SELECT r_w.steps->r."stepName") AS r_s(step_definition)
  JOIN unnest(CAST(%(run_ids)s AS uuid[]), CAST(%(lease_ids)s AS uuid[])) AS n(run_id, lease_id)
    ON n.run_id = r.id AND n.lease_id = r."leaseId";

-- compat_runs.hand_over
INSERT INTO "compatRuns" AS c ("runId", "leaseId", "stepIndex", "keyId", address, polled)
SELECT h.run_id, h.lease_id, r."stepIndex", %(key_id)s, %(address)s, %(polled)s
  FROM unnest(CAST(%(run_ids)s AS uuid[]), CAST(%(lease_ids)s AS uuid[])) AS h(run_id, lease_id)
  JOIN "workflowRuns" r ON r.id = h.run_id AND r."leaseId" = h.lease_id
 ORDER BY h.run_id
ON CONFLICT ("runId") DO UPDATE SET "leaseId" = excluded."leaseId",
  "stepIndex" = excluded."stepIndex", "keyId" = excluded."keyId", address = excluded.address,
  polled = excluded.polled, "refusedAt" = NULL
RETURNING c."runId", c.number;

-- compat_runs.note_refused
UPDATE "compatRuns" c SET "refusedAt" = clock_timestamp()
  FROM "workflowRuns" r
 WHERE c.number = %(number)s AND r.id = c."runId" AND r."leaseId" = c."leaseId"
   AND split_part(r."lockedBy", ':', 1) = %(token_name)s AND r."stepIndex" = %(step_index)s AND r.fence > %(fence)s;

-- compat_runs.was_refused
UPDATE "compatRuns" c SET "refusedAt" = NULL
 WHERE c.number = %(number)s
   AND c."refusedAt" > clock_timestamp() - interval '10 seconds';

-- compat_runs.set_lengths
WITH named AS (
  SELECT * FROM unnest(CAST(%(run_ids)s AS uuid[]), CAST(%(lease_ids)s AS uuid[]),
    CAST(%(seconds)s AS integer[])) AS n(run_id, lease_id, seconds)),
held AS MATERIALIZED (
  SELECT n.* FROM named n JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id ORDER BY r.id FOR UPDATE OF r)
UPDATE "workflowRuns" r SET "leaseSeconds" = h.seconds,
       "leaseExpiresAt" = least(clock_timestamp() + make_interval(secs => h.seconds),
        r."abortRequestedAt" + make_interval(secs => r."leaseSeconds"))
  FROM held h WHERE r.id = h.run_id AND r."leaseId" = h.lease_id;

-- compat_runs.run_id_of
SELECT c."runId" FROM "compatRuns" c WHERE c.number = %(number)s;

-- compat_runs.find
SELECT r.id AS run_id, r.queue,
       CASE WHEN r."leaseId" = c."leaseId" AND split_part(r."lockedBy", ':', 1) = %(token_name)s THEN r."leaseId" END
         AS lease_id,
       r.fence, r."stepIndex" AS step_index, step_definition->'params' AS params,
       step_definition->'next' AS offered,
       (step_definition->>'timeoutSeconds')::double precision AS timeout_seconds
  FROM "workflowRuns" r
  LEFT JOIN workflows r_w
    ON r_w.name = r.workflow AND r_w.version = r."workflowVersion"
 CROSS JOIN LATERAL (SELECT r_w.steps->r."stepName") AS r_s(step_definition)
  JOIN "compatRuns" c ON c."runId" = r.id
 WHERE c.number = %(number)s;

-- compat_runs.lease_that_reported
SELECT e."leaseId" FROM "runEvents" e
 WHERE e."runId" = %(run_id)s AND e.kind = 'reported'
   AND (e.detail->>'stepIndex')::integer = %(step_index)s
   AND split_part(e.executor, ':', 1) = %(token_name)s
 ORDER BY e.seq DESC LIMIT 1;

-- compat_runs.past_steps
SELECT r.id, s."stepIndex", s.name, s.type, w.steps->s.name->'params',
       s.output->>'selectedOption'
  FROM "workflowRuns" r
  LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
 CROSS JOIN LATERAL (
   SELECT * FROM "workflowSteps" p
    WHERE p."runId" = r.id AND p.state = 'finished' AND p."stepIndex" < r."stepIndex"
    ORDER BY p."stepIndex" DESC LIMIT %(most)s) s
 WHERE r.id = ANY (CAST(%(run_ids)s AS uuid[]))
 ORDER BY r.id, s."stepIndex";

-- compat_runs.definition_of
SELECT r.queue, r.workflow, r."workflowVersion" AS version, r."stepType" AS step_type, r.input,
       w.definition->'steps' AS steps
  FROM "compatRuns" c JOIN "workflowRuns" r ON r.id = c."runId"
  LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
 WHERE c.number = %(number)s;

-- compat_leases.end_dropped
WITH doomed AS MATERIALIZED (
  SELECT r.*, CASE WHEN c.polled THEN 'released' ELSE 'orphaned' END AS ending,
         false AS crashed, c.polled AS unwanted, CASE WHEN c.polled THEN 'dropped' END AS reason,
         CAST(%(request_id)s AS text) AS request_id, CAST(%(executor)s AS text) AS actor,
         clock_timestamp() AS incident_since
    FROM "workflowRuns" r
    JOIN "compatRuns" c ON c."runId" = r.id AND c."leaseId" = r."leaseId"
   WHERE r."leaseId" IS NOT NULL AND r."lockedBy" = %(executor)s AND c.address = %(address)s
     AND r."lockedSession" = ANY (ARRAY(
       SELECT e.session FROM executors e WHERE e."fullName" = %(executor)s))
     AND r."lockedAt" < clock_timestamp() - interval '15 seconds'
     AND ((c.polled
          AND (r."stepIndex" = c."stepIndex" OR r."lockedSession" <> %(session)s)) OR (r."runState" = 'loading'
          AND r."leaseSeconds" = 20))
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
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN (
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('expired', 'replaced')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l) END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
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
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{}', '{}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= 5 ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id;

-- compat_leases.end_replaced
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'replaced'::text AS ending, true AS crashed, false AS unwanted, NULL::text AS reason, CAST(%(request_id)s AS text) AS request_id, CAST(%(executor)s AS text) AS actor, clock_timestamp() AS incident_since
    FROM "workflowRuns" r
    JOIN "compatRuns" c ON c."runId" = r.id AND c."leaseId" = r."leaseId"
   WHERE r."leaseId" IS NOT NULL AND r."lockedBy" = %(executor)s AND c.address = %(address)s
     AND r."lockedSession" = ANY (ARRAY(
       SELECT e.session FROM executors e WHERE e."fullName" = %(executor)s))
     AND r."lockedAt" < clock_timestamp() - interval '15 seconds' AND r."lockedAt" < (
       SELECT min(e."registeredAt") FROM executors e
        WHERE e."fullName" = %(executor)s
          AND e."registeredAt" > clock_timestamp() - interval '60 seconds')
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
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN (
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('expired', 'replaced')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l) END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
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
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{}', '{}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= 5 ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id;

-- compat_leases.expect_a_sign
WITH held AS MATERIALIZED (
  SELECT r.id, r."leaseId" FROM "workflowRuns" r
    JOIN "compatRuns" c ON c."runId" = r.id AND c."leaseId" = r."leaseId"
   WHERE r."leaseId" IS NOT NULL AND r."lockedBy" = %(executor)s AND c.address = %(address)s
     AND r."lockedSession" = ANY (ARRAY(
       SELECT e.session FROM executors e WHERE e."fullName" = %(executor)s)) AND r."mutatingSince" IS NULL
     AND (r."runState" = 'started' OR (r."runState" = 'loading'
          AND r."leaseSeconds" = 20))
   ORDER BY r.id FOR UPDATE OF r SKIP LOCKED)
UPDATE "workflowRuns" r SET "leaseExpiresAt" = least(r."leaseExpiresAt",
       clock_timestamp() + interval '20 seconds')
  FROM held h WHERE r.id = h.id AND r."leaseId" = h."leaseId";

-- compat_executors.sight
INSERT INTO "compatExecutors" AS e ("tokenName", session, address, "seenAt")
VALUES (%(token_name)s, %(session)s, %(address)s, clock_timestamp())
ON CONFLICT ("tokenName") DO UPDATE SET
  session = CASE WHEN (e.address = excluded.address
    OR e."seenAt" < excluded."seenAt" - interval '60 seconds') AND %(starts)s THEN excluded.session ELSE e.session END,
  address = CASE WHEN (e.address = excluded.address
    OR e."seenAt" < excluded."seenAt" - interval '60 seconds') THEN excluded.address ELSE e.address END,
  "seenAt" = CASE WHEN (e.address = excluded.address
    OR e."seenAt" < excluded."seenAt" - interval '60 seconds') THEN excluded."seenAt" ELSE e."seenAt" END,
  "otherAddress" = CASE WHEN (e.address = excluded.address
    OR e."seenAt" < excluded."seenAt" - interval '60 seconds') THEN e."otherAddress" ELSE excluded.address END,
  "otherAt" = CASE WHEN (e.address = excluded.address
    OR e."seenAt" < excluded."seenAt" - interval '60 seconds') THEN e."otherAt" ELSE excluded."seenAt" END
RETURNING e.session, e.address = %(address)s,
  (SELECT x.queues FROM executors x WHERE x."fullName" = e."tokenName" AND x.session = e.session);

-- compat_executors.serve
UPDATE executors e SET queues = ARRAY(
  SELECT DISTINCT q FROM unnest(e.queues || CAST(%(queues)s AS text[])) AS q ORDER BY q)
 WHERE e."fullName" = %(token_name)s AND e.session = %(session)s;

-- compat_executors.second_addresses
SELECT c."tokenName" AS token_name, c.address, c."otherAddress" AS other_address,
       c."otherAt" AS other_at, coalesce(e.queues, '{}') AS queues
  FROM "compatExecutors" c
  LEFT JOIN executors e ON e."fullName" = c."tokenName" AND e.session = c.session
 WHERE c."otherAt" > clock_timestamp() - interval '10 minutes'
 ORDER BY c."tokenName" LIMIT 100;

-- census.pending_queues
WITH RECURSIVE names AS (
  (SELECT "stepQueue" AS name, 1 AS number FROM "workflowRuns"
    WHERE "runState" = 'pending' ORDER BY "stepQueue" LIMIT 1)
  UNION ALL
  SELECT n.name, w.number + 1 FROM names w CROSS JOIN LATERAL (
    SELECT r."stepQueue" AS name FROM "workflowRuns" r
     WHERE r."runState" = 'pending' AND r."stepQueue" > w.name
     ORDER BY r."stepQueue" LIMIT 1) n
   WHERE w.number < 1000)
SELECT name FROM names;

-- lock_waits.wait_briefly
SET LOCAL lock_timeout = '100ms';

-- parked.look
SELECT 'runs' AS what, q.name, NULL::uuid AS id, pending.runs
  FROM unnest(CAST(%(queues)s AS text[])) AS q(name)
 CROSS JOIN LATERAL (
   SELECT count(*)::integer AS runs FROM (
     SELECT FROM "workflowRuns" r
      WHERE r."stepQueue" = q.name AND r."runState" = 'pending' AND r."claimKey" < 'infinity'
      LIMIT %(most)s) few
   ) pending
 WHERE pending.runs > 0 AND NOT EXISTS (SELECT FROM queues p WHERE p.name = q.name AND p.paused)
UNION ALL
SELECT 'answered', c."tokenName", c."requestId", NULL
  FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(request_ids)s AS uuid[])) AS k(token_name, id)
  JOIN "claimRequests" c ON c."tokenName" = k.token_name AND c."requestId" = k.id
UNION ALL
SELECT 'out-of-service', e."fullName", e.session, NULL
  FROM unnest(CAST(%(full_names)s AS text[]), CAST(%(sessions)s AS uuid[])) AS p(full_name, session)
  JOIN executors e ON e."fullName" = p.full_name AND e.session = p.session
 WHERE e.state <> 'active';

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

-- leases.count_live
SELECT count(*) FROM "workflowRuns" WHERE "leaseId" IS NOT NULL;

-- leases.cap_expiries
WITH far AS MATERIALIZED (
  SELECT r.id, r."leaseId" FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL
     AND (r."leaseExpiresAt" > clock_timestamp() + 2 * make_interval(secs => r."leaseSeconds") OR r."abortRequestedAt" > clock_timestamp())
     AND (CAST(%(only)s AS uuid) IS NULL OR r.id = %(only)s)
   ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED)
UPDATE "workflowRuns" r SET
    "leaseExpiresAt" = least(r."leaseExpiresAt", clock_timestamp() + 2 * make_interval(secs => r."leaseSeconds")),
    "abortRequestedAt" = CASE WHEN r."abortRequestedAt" IS NOT NULL
      THEN least(r."abortRequestedAt", clock_timestamp()) END
  FROM far f WHERE r.id = f.id AND r."leaseId" = f."leaseId"
RETURNING r.id;

-- leases.far_run_ids
SELECT r.id FROM "workflowRuns" r WHERE r."leaseId" IS NOT NULL
     AND (r."leaseExpiresAt" > clock_timestamp() + 2 * make_interval(secs => r."leaseSeconds") OR r."abortRequestedAt" > clock_timestamp()) ORDER BY r.id LIMIT %(limit)s;

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

-- endings.release
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'released'::text AS ending, false AS crashed, CAST(%(reason)s AS text) NOT IN ('draining', 'no-slot') AS unwanted, CAST(%(reason)s AS text) AS reason, n.request_id AS request_id, n.token_name AS actor, clock_timestamp() AS incident_since
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
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN (
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('expired', 'replaced')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l) END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
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
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{}', '{}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= 5 ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id;

-- endings.released_lately
SELECT e.actor, e."leaseId", e."runId"
  FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]),
    CAST(%(lease_ids)s AS uuid[]), CAST(%(request_ids)s AS text[]))
    AS n(token_name, run_id, lease_id, request_id)
  JOIN "runEvents" e ON e."runId" = n.run_id AND e."leaseId" = n.lease_id
   AND e.kind = 'released' AND e."requestId" = n.request_id AND e.actor = n.token_name;

-- endings.release_replaced
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'replaced'::text AS ending, true AS crashed, false AS unwanted, NULL::text AS reason, CAST(%(request_id)s AS text) AS request_id, CAST(%(actor)s AS text) AS actor, clock_timestamp() AS incident_since
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."lockedSession" <> %(session)s AND r."lockedBy" = %(executor)s
     AND NOT EXISTS (
       SELECT FROM executors newer JOIN executors own USING ("fullName")
        WHERE own."fullName" = %(executor)s AND own.session = %(session)s
          AND newer.session = r."lockedSession" AND newer."registeredAt" > own."registeredAt")
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
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN (
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('expired', 'replaced')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l) END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
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
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{}', '{}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= 5 ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id;

-- endings.revoke
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'revoked'::text AS ending, false AS crashed, false AS unwanted, NULL::text AS reason, NULL::text AS request_id, 'database:' || session_user AS actor, clock_timestamp() AS incident_since
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND (CAST(%(after)s AS uuid) IS NULL OR r.id > %(after)s)
   ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r),
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
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN (
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('expired', 'replaced')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l) END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
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
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{}', '{}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= 5 ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id;

-- endings.expire
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'expired'::text AS ending, true AS crashed, false AS unwanted, NULL::text AS reason, NULL::text AS request_id, NULL::text AS actor, CAST(%(since)s AS timestamptz) AS incident_since
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."leaseExpiresAt" < statement_timestamp()
     AND (CAST(%(only)s AS uuid) IS NULL OR r.id = %(only)s)
     AND NOT EXISTS (
       SELECT FROM keeper k
        WHERE k."amnestySince" + make_interval(secs => r."leaseSeconds") > clock_timestamp())
     AND EXISTS (
       SELECT FROM keeper k
        WHERE k."lastTickAt" BETWEEN clock_timestamp() - interval '5 seconds'
                                 AND clock_timestamp() + interval '1 second')
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
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN (
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('expired', 'replaced')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l) END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
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
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{}', '{}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= 5 ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id;

-- endings.expired_run_ids
SELECT r.id FROM "workflowRuns" r
 WHERE r."leaseId" IS NOT NULL AND r."leaseExpiresAt" < clock_timestamp() AND NOT EXISTS (
       SELECT FROM keeper k
        WHERE k."amnestySince" + make_interval(secs => r."leaseSeconds") > clock_timestamp())
 ORDER BY r.id LIMIT %(limit)s;

-- orphans.release_orphans
WITH doomed AS MATERIALIZED (
  SELECT r.*, 'orphaned'::text AS ending, false AS crashed, false AS unwanted, NULL::text AS reason, CAST(%(request_id)s AS text) AS request_id, CAST(%(token_name)s AS text) AS actor, clock_timestamp() AS incident_since
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = %(session)s
     AND split_part(r."lockedBy", ':', 1) = %(token_name)s
     AND r."runState" = 'loading'
     AND r."lockedAt" < %(as_of)s AND %(as_of)s <= clock_timestamp()
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
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN (
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('expired', 'replaced')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l) END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
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
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{}', '{}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= 5 ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id;

-- orphans.with_orphans
WITH said AS (
  SELECT * FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(sessions)s AS uuid[]),
    CAST(%(as_ofs)s AS timestamptz[]))
    WITH ORDINALITY AS s(token_name, session, as_of, place)),
named AS (
  SELECT * FROM unnest(CAST(%(named_by)s AS integer[]), CAST(%(named)s AS uuid[])) AS n(place, id)),
claiming AS (
  SELECT * FROM unnest(CAST(%(claimed_by)s AS integer[]), CAST(%(claiming)s AS uuid[])) AS c(place, id))
SELECT s.place - 1 FROM said s
 WHERE EXISTS (
   SELECT FROM "workflowRuns" r
    WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = s.session
     AND split_part(r."lockedBy", ':', 1) = s.token_name
     AND r."runState" = 'loading'
     AND r."lockedAt" < s.as_of AND s.as_of <= clock_timestamp()
     AND r."leaseId" <> ALL (ARRAY(SELECT n.id FROM named n WHERE n.place = s.place))
     AND NOT EXISTS (
       SELECT FROM "claimRequests" c
        WHERE c."tokenName" = s.token_name AND c."requestId" = ANY (ARRAY(SELECT l.id FROM claiming l WHERE l.place = s.place))
          AND r."leaseId" = ANY (c."leaseIds")));

-- reports.report
WITH told AS (
  SELECT * FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(run_ids)s AS uuid[]),
    CAST(%(lease_ids)s AS uuid[]), CAST(%(step_indexes)s AS integer[]), CAST(%(statuses)s AS text[]),
    CAST(%(outputs)s AS text[]), CAST(%(messages)s AS text[]), CAST(%(retryables)s AS boolean[]),
    CAST(%(waiting_fors)s AS text[]), CAST(%(available_ats)s AS timestamptz[]),
    CAST(%(hashes)s AS bytea[]), CAST(%(request_ids)s AS text[]), CAST(%(next_steps)s AS text[]),
    CAST(%(chains)s AS boolean[]))
    WITH ORDINALITY AS t(token_name, run_id, lease_id, step_index, status, step_output, message,
                         retryable, waiting_for, later_at, outcome_hash, request_id, next_step,
                         chain, place)),
held AS MATERIALIZED (
  SELECT r.*, t.*, w.steps, w.steps->r."stepName" AS definition,
         coalesce(w.steps->r."stepName"->'next', '[]') AS offered,
         CAST(t.waiting_for AS jsonb)->'onTimeout'->>'next' AS on_timeout
    FROM told t JOIN "workflowRuns" r ON r.id = t.run_id
    LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
   WHERE r."leaseId" = t.lease_id AND split_part(r."lockedBy", ':', 1) = t.token_name AND r."stepIndex" = t.step_index
   ORDER BY r.id FOR UPDATE OF r),
chosen AS (
  SELECT h.*, CASE
      WHEN h.status <> 'success' THEN NULL
      WHEN h.next_step IS NULL AND jsonb_array_length(h.offered) = 1 THEN h.offered->>0
      WHEN h.offered ? h.next_step THEN h.next_step END AS following
    FROM held h),
weighed AS (
  SELECT c.*, c.steps->c.following AS follower, CASE
      WHEN c.status = 'success' AND c.following IS NULL
       AND (c.next_step IS NOT NULL OR c.offered <> '[]')
      THEN 'Step ' || c."stepName" || ' offers the next steps ' || c.offered::text || ', '
           || CASE WHEN c.next_step IS NULL THEN 'and none was chosen.'
              ELSE 'and ' || c.next_step || ' was chosen.' END
      WHEN c.on_timeout IS NOT NULL AND NOT c.offered ? c.on_timeout
      THEN 'Step ' || c."stepName" || ' offers the next steps ' || c.offered::text
           || ', and onTimeout names ' || c.on_timeout || '.' END AS misled
    FROM chosen c),
judged AS (
  SELECT o.*,
    CASE WHEN o.outcome = 'success' AND o.following IS NULL THEN 'finished'
      WHEN o.outcome = 'unknown' THEN 'waiting'
      WHEN o."abortRequestedAt" IS NOT NULL THEN 'aborted'
      WHEN o.outcome = 'success' AND o.chain AND coalesce(o.follower->>'queue', o.queue) = o."stepQueue"
       AND NOT EXISTS (SELECT FROM queues q WHERE q.name = o."stepQueue" AND q.paused)
       AND NOT EXISTS (SELECT FROM executors e
         WHERE e."fullName" = o."lockedBy" AND e.session = o."lockedSession"
           AND e.state <> 'active')
       AND EXISTS (SELECT FROM "accessTokens" a
         WHERE a.name = o.token_name AND a."revokedAt" IS NULL
           AND (a."expiresAt" IS NULL OR a."expiresAt" > clock_timestamp())) THEN 'started'
      WHEN o.outcome = 'success' THEN 'pending'
      WHEN o.outcome = 'awaiting-input' THEN 'waiting'
      WHEN o.outcome = 'later' THEN 'scheduled'
      WHEN NOT o.repeatable THEN 'failed'
      WHEN o.failures + 1 >= o.budget THEN 'failed'
      ELSE 'scheduled' END AS verdict,
    CASE WHEN o.repeatable THEN 'failed-too-often'
         ELSE 'step-failed' END AS failure_code
    FROM (
      SELECT g.*, CASE WHEN g.misled IS NULL THEN g.status ELSE 'error' END AS outcome,
             coalesce(g.misled, g.message) AS said,
             g.misled IS NULL AND coalesce(g.retryable, g."mutatingSince" IS NULL
               AND NOT coalesce((g.definition->>'mutating')::boolean, false)) AS repeatable,
             coalesce((g.definition->'retry'->>'maxFailures')::integer, g."maxFailures") AS budget
        FROM weighed g) o),
reported AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      "leaseId" = CASE j.verdict WHEN 'started' THEN r."leaseId" END,
      "lockedBy" = CASE j.verdict WHEN 'started' THEN r."lockedBy" END,
      "lockedSession" = CASE j.verdict WHEN 'started' THEN r."lockedSession" END,
      "lockedAt" = CASE j.verdict WHEN 'started' THEN r."lockedAt" END,
      "leaseExpiresAt" = CASE j.verdict WHEN 'started' THEN least(clock_timestamp() + make_interval(secs => r."leaseSeconds"),
        r."abortRequestedAt" + make_interval(secs => r."leaseSeconds")) END,
      "leaseSeconds" = CASE j.verdict WHEN 'started' THEN r."leaseSeconds" END,
      "mutatingSince" = NULL, progress = NULL,
      "stepIndex" = r."stepIndex" + (j.following IS NOT NULL)::integer,
      "stepName" = coalesce(j.following, r."stepName"),
      "stepType" = coalesce(j.follower->>'type', r."stepType"),
      "stepQueue" = CASE WHEN j.following IS NULL THEN r."stepQueue"
        ELSE coalesce(j.follower->>'queue', r.queue) END,
      failures = CASE WHEN j.following IS NULL
        THEN r.failures + (j.outcome = 'error')::integer ELSE 0 END,
      releases = 0,
      output = CASE j.verdict WHEN 'finished'
        THEN nullif(CAST(j.step_output AS jsonb), 'null'::jsonb) END,
      error = CASE j.outcome WHEN 'success' THEN NULL
        WHEN 'error' THEN jsonb_build_object(
          'code', CASE j.verdict WHEN 'failed' THEN j.failure_code ELSE 'step-error' END,
          'message', j.said, 'stepIndex', r."stepIndex")
        ELSE r.error END,
      "waitingFor" = CASE j.verdict WHEN 'waiting' THEN CASE j.outcome
        WHEN 'unknown' THEN jsonb_strip_nulls(jsonb_build_object(
          'reason', 'outcome-unknown', 'message', j.said))
        ELSE CAST(j.waiting_for AS jsonb) END END,
      "resumeInput" = CASE WHEN j.following IS NOT NULL OR j.outcome = 'awaiting-input' THEN NULL
        ELSE r."resumeInput" END,
      "claimKey" = CASE j.verdict WHEN 'pending' THEN clock_timestamp() - make_interval(secs => r.priority * 60) ELSE r."claimKey" END,
      "availableAt" = CASE
        WHEN j.verdict = 'waiting' THEN clock_timestamp() + make_interval(secs =>
          (CAST(j.waiting_for AS jsonb)->>'timeoutSeconds')::double precision)
        WHEN j.outcome = 'later' AND j.verdict = 'scheduled' THEN j.later_at
        WHEN j.verdict = 'scheduled' THEN clock_timestamp()
          + make_interval(secs => random() * least(
          coalesce((j.definition->'retry'->>'maxBackoffSeconds')::double precision,
                   300),
          coalesce((j.definition->'retry'->>'backoffSeconds')::double precision, 2)
            * power(coalesce((j.definition->'retry'->>'backoffFactor')::double precision,
                             2), r.failures)))
        WHEN j.verdict = 'pending' THEN clock_timestamp()
        ELSE r."availableAt" END,
      "startedAt" = coalesce(r."startedAt", j."lockedAt"),
      "finishedAt" = CASE WHEN j.verdict IN ('finished', 'failed', 'aborted')
        THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.id, r."runState", r.queue, r."stepQueue", r."concurrencyKey", r.version, r.error,
    j."runState" AS was, j."stepQueue" AS held_queue, j.place, j.outcome, j.outcome_hash, j.said,
    j.following, j."leaseId" AS lease_id, j.fence, j."lockedBy" AS executor,
    j."lockedSession" AS session, j."lockedAt" AS locked_at, j.request_id, j.token_name,
    j.step_output, j."stepIndex" AS step_index, j."stepName" AS step_name,
    j."stepType" AS step_type),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'reported', clock_timestamp(), was, "runState", lease_id, fence, executor,
         request_id, token_name, jsonb_strip_nulls(jsonb_build_object(
           'stepIndex', step_index, 'outcome', outcome, 'next', following,
           'outcomeHash', encode(outcome_hash, 'hex'), 'message', left(said, 1000),
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM reported),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, output, error,
                               "startedAt", "finishedAt")
  SELECT id, step_index, step_name, step_type,
         CASE outcome WHEN 'success' THEN 'finished' WHEN 'error' THEN 'failed'
           WHEN 'unknown' THEN 'unknown' WHEN 'awaiting-input' THEN 'waiting' ELSE 'started' END,
         CASE outcome WHEN 'success' THEN nullif(CAST(step_output AS jsonb), 'null'::jsonb) END,
         CASE outcome WHEN 'error' THEN error END,
         CASE WHEN step_index = 0 THEN locked_at ELSE greatest(locked_at, (
           SELECT max(s."finishedAt") FROM "workflowSteps" s
            WHERE s."runId" = reported.id AND s."stepIndex" < reported.step_index)) END,
         CASE WHEN outcome IN ('success', 'error') THEN clock_timestamp() END
    FROM reported
  ON CONFLICT ("runId", "stepIndex") DO UPDATE SET
    state = excluded.state, output = excluded.output, error = excluded.error,
    "finishedAt" = excluded."finishedAt"),
forgiven AS (
  UPDATE incidents i SET number = 0
    FROM (SELECT k.executor, k.session FROM incidents k
           WHERE k.number > 0
             AND (k.executor, k.session) IN (
               SELECT executor, session FROM reported WHERE outcome = 'success')
           ORDER BY k.executor, k.session
             FOR UPDATE) f
   WHERE i.executor = f.executor AND i.session = f.session)
SELECT place - 1, id, "runState", queue, "stepQueue", "concurrencyKey", held_queue
  FROM reported;

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
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id, r."stepIndex" AS step_index, beside.*
    FROM "workflowRuns" r LEFT JOIN LATERAL (SELECT) AS beside ON true
   WHERE r.id = %(run_id)s AND r."finishedAt" IS NULL
     AND (r."abortRequestedAt" IS NULL OR CAST(%(idempotency_key)s AS text) IS NOT NULL)
     AND r."waitingFor"->>'reason' IS DISTINCT FROM 'outcome-unknown'
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = CASE WHEN r."leaseId" IS NULL THEN 'aborted' ELSE r."runState" END,
      "abortRequestedAt" = coalesce(r."abortRequestedAt", clock_timestamp()),
      "finishedAt" = CASE WHEN r."leaseId" IS NULL THEN clock_timestamp() END,
      "waitingFor" = NULL,
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was, h.step_index),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, CASE WHEN c."leaseId" IS NULL THEN 'aborted' ELSE 'abort-requested' END, clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c.step_index, 'as', NULL,
           'keyId', CAST(%(key_id)s AS text),
           'idempotencyKey', CAST(%(idempotency_key)s AS text),
           'bodyHash', encode(CAST(%(body_hash)s AS bytea), 'hex')))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.retry
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id, r."stepIndex" AS step_index, beside.*
    FROM "workflowRuns" r LEFT JOIN LATERAL (SELECT) AS beside ON true
   WHERE r.id = %(run_id)s AND r."runState" IN ('failed', 'aborted')
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = 'pending',
      "stepIndex" = r."stepIndex" + (EXISTS (
        SELECT FROM "runEvents" e WHERE e."runId" = r.id AND e.kind = 'step-started'
           AND (e.detail->>'stepIndex')::integer = r."stepIndex")
        OR EXISTS (SELECT FROM "compatRuns" n WHERE n."runId" = r.id))::integer,
      failures = 0, crashes = 0, releases = 0, error = NULL,
      "abortRequestedAt" = NULL, "finishedAt" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = clock_timestamp() - make_interval(secs => r.priority * 60),
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was, h.step_index),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'retried', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c.step_index, 'as', CASE WHEN EXISTS (SELECT FROM "compatRuns" n WHERE n."runId" = c.id) THEN 'next-step' END,
           'keyId', CAST(%(key_id)s AS text),
           'idempotencyKey', CAST(%(idempotency_key)s AS text),
           'bodyHash', encode(CAST(%(body_hash)s AS bytea), 'hex')))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resume
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id, r."stepIndex" AS step_index, beside.*
    FROM "workflowRuns" r LEFT JOIN LATERAL (SELECT) AS beside ON true
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'input'
     AND r.version = CAST(%(seen_version)s AS bigint)
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
  RETURNING r.*, h.was, h.step_index),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resumed', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c.step_index, 'as', NULL,
           'keyId', CAST(%(key_id)s AS text),
           'idempotencyKey', CAST(%(idempotency_key)s AS text),
           'bodyHash', encode(CAST(%(body_hash)s AS bytea), 'hex')))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resolve_done
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id, r."stepIndex" AS step_index, beside.*
    FROM "workflowRuns" r LEFT JOIN LATERAL (
    SELECT n.name AS following, w.steps->n.name AS follower
      FROM workflows w
     CROSS JOIN LATERAL (SELECT coalesce(CAST(%(next_step)s AS text),
       w.steps->r."stepName"->'next'->>0)) AS n(name)
     WHERE w.name = r.workflow AND w.version = r."workflowVersion") AS beside ON true
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'outcome-unknown'
     AND r.version = coalesce(CAST(%(seen_version)s AS bigint), r.version) AND CASE
       WHEN CAST(%(next_step)s AS text) IS NULL THEN jsonb_array_length(coalesce((
         SELECT w.steps->r."stepName"->'next' FROM workflows w
          WHERE w.name = r.workflow AND w.version = r."workflowVersion"), '[]')) <= 1
       ELSE coalesce((
         SELECT w.steps->r."stepName"->'next' ? CAST(%(next_step)s AS text) FROM workflows w
          WHERE w.name = r.workflow AND w.version = r."workflowVersion"), false) END
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
         AND e.detail->>'idempotencyKey' = CAST(%(idempotency_key)s AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET
      "runState" = CASE WHEN h.following IS NULL THEN 'finished'
        WHEN r."abortRequestedAt" IS NOT NULL THEN 'aborted'
        ELSE 'pending' END,
      "waitingFor" = NULL, error = NULL,
      output = CASE WHEN h.following IS NULL
        THEN nullif(CAST(%(output)s AS jsonb), 'null'::jsonb) END,
      "finishedAt" = CASE WHEN h.following IS NULL OR r."abortRequestedAt" IS NOT NULL
        THEN clock_timestamp() END,
      "stepIndex" = r."stepIndex" + (h.following IS NOT NULL)::integer,
      "stepName" = coalesce(h.following, r."stepName"),
      "stepType" = coalesce(h.follower->>'type', r."stepType"),
      "stepQueue" = CASE WHEN h.following IS NULL THEN r."stepQueue"
        ELSE coalesce(h.follower->>'queue', r.queue) END,
      failures = 0, "resumeInput" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = clock_timestamp() - make_interval(secs => r.priority * 60),
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was, h.step_index),
stepped AS (
  UPDATE "workflowSteps" s SET state = 'finished', error = NULL, "finishedAt" = clock_timestamp(),
         output = nullif(CAST(%(output)s AS jsonb), 'null'::jsonb)
    FROM changed c WHERE s."runId" = c.id AND s."stepIndex" = c.step_index),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resolved', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c.step_index, 'as', 'done',
           'keyId', CAST(%(key_id)s AS text),
           'idempotencyKey', CAST(%(idempotency_key)s AS text),
           'bodyHash', encode(CAST(%(body_hash)s AS bytea), 'hex')))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resolve_run_again
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id, r."stepIndex" AS step_index, beside.*
    FROM "workflowRuns" r LEFT JOIN LATERAL (SELECT) AS beside ON true
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'outcome-unknown'
     AND r.version = coalesce(CAST(%(seen_version)s AS bigint), r.version)
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
  RETURNING r.*, h.was, h.step_index),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resolved', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c.step_index, 'as', 'run-again',
           'keyId', CAST(%(key_id)s AS text),
           'idempotencyKey', CAST(%(idempotency_key)s AS text),
           'bodyHash', encode(CAST(%(body_hash)s AS bytea), 'hex')))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.resolve_abort
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id, r."stepIndex" AS step_index, beside.*
    FROM "workflowRuns" r LEFT JOIN LATERAL (SELECT) AS beside ON true
   WHERE r.id = %(run_id)s AND r."runState" = 'waiting'
     AND r."waitingFor"->>'reason' = 'outcome-unknown'
     AND r.version = coalesce(CAST(%(seen_version)s AS bigint), r.version)
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
  RETURNING r.*, h.was, h.step_index),
stepped AS (SELECT FROM changed),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, 'resolved', clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(%(request_id)s AS text), CAST(%(actor)s AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(%(reason)s AS text), 'stepIndex', c.step_index, 'as', 'abort',
           'keyId', CAST(%(key_id)s AS text),
           'idempotencyKey', CAST(%(idempotency_key)s AS text),
           'bodyHash', encode(CAST(%(body_hash)s AS bytea), 'hex')))
    FROM changed c)
SELECT c."id" AS id, c."workflow" AS workflow, c."workflowVersion" AS workflow_version, c."queue" AS queue, c."stepQueue" AS step_queue, c."runState" AS run_state, c."priority" AS priority, c."availableAt" AS available_at, c."stepIndex" AS step_index, c."stepName" AS step_name, c."stepType" AS step_type, c."input" AS input, c."output" AS output, c."error" AS error, c."progress" AS progress, c."attempt" AS attempt, c."failures" AS failures, c."crashes" AS crashes, c."maxFailures" AS max_failures, c."maxCrashes" AS max_crashes, c."fence" AS fence, c."lockedBy" AS locked_by, c."lockedAt" AS locked_at, c."leaseExpiresAt" AS lease_expires_at, c."mutatingSince" AS mutating_since, c."abortRequestedAt" AS abort_requested_at, c."waitingFor" AS waiting_for, c."dedupKey" AS dedup_key, c."concurrencyKey" AS concurrency_key, c."traceparent" AS traceparent, c."createdBy" AS created_by, c."createdAt" AS created_at, c."startedAt" AS started_at, c."finishedAt" AS finished_at, c."version" AS version FROM changed c;

-- acts.done_by_key
SELECT e.kind, decode(e.detail->>'bodyHash', 'hex') AS body_hash FROM "runEvents" e
 WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s
   AND e.detail->>'idempotencyKey' = %(idempotency_key)s
 LIMIT 1;

-- acts.kind_done_lately
SELECT FROM "workflowRuns" WHERE id = %(run_id)s FOR UPDATE;
SELECT e.kind FROM "runEvents" e
 WHERE e."runId" = %(run_id)s AND e.actor = %(actor)s AND e."requestId" = %(request_id)s
   AND e.at > clock_timestamp() - interval '1 minute'
 ORDER BY e.seq DESC LIMIT 1;

-- operator_acts.note
INSERT INTO "operatorActs" (id, at, actor, "keyId", "requestId", kind, subject, queue, detail)
VALUES (%(id)s, clock_timestamp(), %(actor)s, %(key_id)s, %(request_id)s, %(kind)s, %(subject)s, %(queue)s,
        jsonb_strip_nulls(CAST(%(detail)s AS jsonb)))
ON CONFLICT (id) DO NOTHING;

-- operator_acts.list_acts
SELECT a.id, a.at, a.actor, a."keyId" AS key_id, a."requestId" AS request_id, a.kind, a.subject,
       a.queue, a.detail
  FROM "operatorActs" a
 WHERE (CAST(%(before)s AS uuid) IS NULL OR a.id < %(before)s)
   AND (CAST(%(actor)s AS text) IS NULL OR a.actor = %(actor)s)
   AND (CAST(%(down_to)s AS uuid) IS NULL OR a.id >= %(down_to)s)
   AND (CAST(%(kind)s AS text) IS NULL OR a.kind = %(kind)s)
   AND (CAST(%(subject)s AS text) IS NULL OR a.subject = %(subject)s)
   AND EXISTS (SELECT FROM unnest(CAST(%(patterns)s AS text[])) AS p(pattern)
     WHERE p.pattern = '*' OR p.pattern = a.queue
        OR (p.pattern LIKE '%%.*' AND starts_with(a.queue, left(p.pattern, -1))))
 ORDER BY a.id DESC LIMIT %(limit)s;

-- operator_acts.line_before
SELECT id FROM "operatorActs" WHERE CAST(%(before)s AS uuid) IS NULL OR id < %(before)s
 ORDER BY id DESC OFFSET %(lines)s - 1 LIMIT 1;

-- operator_acts.prune
SELECT dibs_prune_acts(clock_timestamp() - make_interval(days => %(retention_days)s), %(limit)s);

-- keeper.take_turn
SELECT pg_try_advisory_xact_lock(%(key)s);

-- keeper.tick
SET LOCAL synchronous_commit = off;
UPDATE keeper k SET "lastTickAt" = n.now,
    "amnestySince" = CASE WHEN n.gap THEN n.now ELSE k."amnestySince" END,
    "prunedAt" = CASE WHEN n.prune THEN n.now ELSE k."prunedAt" END,
    "pruneRestSeconds" = CASE WHEN n.prune THEN %(prune_every_seconds)s
                         ELSE k."pruneRestSeconds" END
  FROM (SELECT now, "lastTickAt",
               coalesce(now - "lastTickAt" > make_interval(secs => %(gap_seconds)s)
                        OR now < "lastTickAt", false) AS gap,
               coalesce(now - "prunedAt" > make_interval(secs => "pruneRestSeconds")
                        OR now < "prunedAt", true) AS prune
          FROM keeper, clock_timestamp() AS now FOR UPDATE OF keeper) n
 WHERE n.gap OR n."lastTickAt" IS NULL
    OR n.now - n."lastTickAt" >= make_interval(secs => %(every_seconds)s)
RETURNING n.now, n.gap, n.prune, k."prunedThrough",
    coalesce(k."amnestySince" > n.now - make_interval(secs => %(aftermath_seconds)s), false)
      AS aftermath;

-- keeper.duties
SELECT coalesce(l.first < n.now, false), coalesce(d.first <= n.now, false),
       coalesce(w.first <= n.now, false), coalesce(s.first <= n.now, false)
  FROM clock_timestamp() AS n(now),
       (SELECT min("leaseExpiresAt") AS first FROM "workflowRuns"
         WHERE "leaseId" IS NOT NULL) l,
       (SELECT min("availableAt") AS first FROM "workflowRuns"
         WHERE "runState" = 'scheduled') d,
       (SELECT min("availableAt") AS first FROM "workflowRuns"
         WHERE "runState" = 'waiting' AND "availableAt" IS NOT NULL) w,
       (SELECT min("nextAt") AS first FROM schedules WHERE NOT paused) s;

-- keeper.make_due
WITH due AS MATERIALIZED (
  SELECT r.id FROM "workflowRuns" r
   WHERE r."runState" = 'scheduled' AND r."availableAt" <= (SELECT clock_timestamp())
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
SELECT id AS run_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key
  FROM moved;

-- keeper.due_run_ids
SELECT id FROM "workflowRuns"
 WHERE "runState" = 'scheduled' AND "availableAt" <= (SELECT clock_timestamp())
 ORDER BY "availableAt" LIMIT %(limit)s;

-- keeper.time_out_waits
WITH late AS MATERIALIZED (
  SELECT r.id, r."stepIndex" AS step_index, r."stepName" AS step_name,
         r."waitingFor"->'onTimeout'->>'next' AS following,
         w.steps->(r."waitingFor"->'onTimeout'->>'next') AS follower
    FROM "workflowRuns" r
    LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
   WHERE r."runState" = 'waiting' AND r."availableAt" <= (SELECT clock_timestamp())
     AND (CAST(%(only)s AS uuid) IS NULL OR r.id = %(only)s)
   ORDER BY r."availableAt" LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED),
moved AS (
  UPDATE "workflowRuns" r SET "waitingFor" = NULL,
      "runState" = CASE WHEN l.follower IS NULL THEN 'failed'
        ELSE 'pending' END,
      error = CASE WHEN l.follower IS NULL THEN jsonb_build_object(
        'code', 'input-timed-out', 'stepIndex', r."stepIndex",
        'message', 'No input came in time.') END,
      "finishedAt" = CASE WHEN l.follower IS NULL THEN clock_timestamp() END,
      "stepIndex" = r."stepIndex" + (l.follower IS NOT NULL)::integer,
      "stepName" = CASE WHEN l.follower IS NULL THEN r."stepName" ELSE l.following END,
      "stepType" = coalesce(l.follower->>'type', r."stepType"),
      "stepQueue" = CASE WHEN l.follower IS NULL THEN r."stepQueue"
        ELSE coalesce(l.follower->>'queue', r.queue) END,
      failures = CASE WHEN l.follower IS NULL THEN r.failures ELSE 0 END,
      "claimKey" = clock_timestamp() - make_interval(secs => r.priority * 60),
      version = r.version + 1
    FROM late l WHERE r.id = l.id AND r."runState" = 'waiting'
  RETURNING r.*, l.step_index, l.following),
stepped AS (
  UPDATE "workflowSteps" s SET error = m.error, "finishedAt" = clock_timestamp(),
         state = CASE m."runState" WHEN 'failed' THEN 'failed' ELSE 'skipped' END
    FROM moved m WHERE s."runId" = m.id AND s."stepIndex" = m.step_index),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", detail)
  SELECT id, version, 'timed-out', clock_timestamp(), 'waiting', "runState",
         jsonb_strip_nulls(jsonb_build_object('stepIndex', step_index, 'code', error->>'code',
           'next', CASE "runState" WHEN 'pending' THEN following END))
    FROM moved)
SELECT id AS run_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key
  FROM moved;

-- keeper.late_run_ids
SELECT id FROM "workflowRuns"
 WHERE "runState" = 'waiting' AND "availableAt" <= (SELECT clock_timestamp())
 ORDER BY "availableAt" LIMIT %(limit)s;

-- keeper.prune
SELECT pruned, through, is_last
  FROM dibs_prune_page(clock_timestamp() - make_interval(days => %(retention_days)s),
                       coalesce(CAST(%(after)s AS uuid), '00000000-0000-0000-0000-000000000000'),
                       %(limit)s);

-- keeper.note_pruning
UPDATE keeper SET "prunedThrough" = %(through)s, "prunedAt" = clock_timestamp(),
    "pruneRestSeconds" = %(rest_seconds)s;

-- health.snapshot_holders
SELECT h.kind, h.name, h.pid, h.horizon::text AS horizon, age(h.horizon) AS transactions, h.since,
       extract(epoch FROM clock_timestamp() - h.since)::double precision AS seconds
  FROM (
    SELECT 'session' AS kind, coalesce(a.application_name, '') AS name, a.pid,
           CASE WHEN a.backend_xmin IS NULL OR age(a.backend_xid) > age(a.backend_xmin)
                THEN a.backend_xid ELSE a.backend_xmin END AS horizon,
           a.xact_start AS since
      FROM pg_stat_activity a
     WHERE a.pid <> pg_backend_pid()
       AND (a.datname = current_database() OR a.datid IS NULL)
       AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
    UNION ALL
    SELECT 'slot', s.slot_name::text, s.active_pid, s.xmin, NULL FROM pg_replication_slots s
    UNION ALL
    SELECT 'prepared', p.gid, NULL, p.transaction, p.prepared FROM pg_prepared_xacts p
     WHERE p.database = current_database()) h
 WHERE h.horizon IS NOT NULL
 ORDER BY age(h.horizon) DESC, h.kind, h.name, h.pid LIMIT 20;

-- serving_role.excess
        SELECT CASE WHEN r.rolsuper THEN 'serves-as-superuser'
                    WHEN pg_has_role(r.oid, c.relowner, 'MEMBER') THEN 'serves-as-owner' END
          FROM pg_roles r
          LEFT JOIN pg_class c ON c.oid = to_regclass('"runEvents"')
         WHERE r.rolname = session_user;

-- replication.vouch
SELECT pg_logical_emit_message(true, 'dibs', '');

-- outcomes.sample
WITH looked AS MATERIALIZED (
  SELECT "runId", "stepIndex" FROM "workflowSteps"
   ORDER BY "runId" DESC, "stepIndex" DESC LIMIT %(steps)s)
SELECT r.workflow, r.queue,
       count(*) FILTER (WHERE r."runState" = 'finished') AS finished,
       count(*) FILTER (WHERE r."runState" = 'failed') AS failed,
       coalesce(array_agg((extract(epoch FROM r."finishedAt" - r."startedAt") * 1000)::bigint)
         FILTER (WHERE r."runState" = 'finished' AND r."startedAt" IS NOT NULL),
         ARRAY[]::bigint[]) AS milliseconds
  FROM "workflowRuns" r
 WHERE r.id = ANY (ARRAY(SELECT "runId" FROM looked WHERE "stepIndex" = 0))
   AND r."runState" IN ('finished', 'failed')
 GROUP BY r.workflow, r.queue;

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

-- executors.list_quarantined
SELECT DISTINCT ON (e."fullName") e."fullName" AS full_name, e.queues, e.reason,
       e."seenAt" AS seen_at
  FROM executors e
 WHERE e.state = 'quarantined'
   AND e."seenAt" > clock_timestamp() - interval '90 seconds'
 ORDER BY e."fullName", e."seenAt" DESC LIMIT 100;

-- executors.list_executors
SELECT e."fullName" AS full_name, e."session" AS session, e."tokenName" AS token_name, e."version" AS version, e."slots" AS slots, e."queues" AS queues, e."stepTypes" AS step_types, e."labels" AS labels, e."url" AS url, e."state" AS state, e."reason" AS reason, e."registeredAt" AS registered_at, e."seenAt" AS seen_at,
       (SELECT count(*) FROM "workflowRuns" r
         WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session
           AND r."lockedBy" = e."fullName") AS in_flight
  FROM executors e
 WHERE CAST(%(full_name)s AS text) IS NULL OR e."fullName" = %(full_name)s
 ORDER BY e."seenAt" DESC, e."fullName" LIMIT CAST(%(limit)s AS bigint);

-- executors.set_state
UPDATE executors SET state = %(state)s, reason = %(reason)s WHERE "fullName" = %(full_name)s;

-- executors.out_of_service
SELECT e."fullName", e.session, e.state, e.reason
  FROM unnest(CAST(%(full_names)s AS text[]), CAST(%(sessions)s AS uuid[])) AS s(full_name, session)
  JOIN executors e ON e."fullName" = s.full_name AND e.session = s.session
 WHERE e.state <> 'active';

-- executors.holdings
SELECT e."fullName", e.session, e.slots,
       (SELECT count(*) FROM "workflowRuns" r
         WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session
           AND r."lockedBy" = e."fullName")
  FROM unnest(CAST(%(full_names)s AS text[]), CAST(%(sessions)s AS uuid[])) AS s(full_name, session)
  JOIN executors e ON e."fullName" = s.full_name AND e.session = s.session
 WHERE e.slots IS NOT NULL;

-- executors.seen
UPDATE executors e SET "seenAt" = clock_timestamp()
  FROM unnest(CAST(%(full_names)s AS text[]), CAST(%(sessions)s AS uuid[])) AS s(full_name, session)
 WHERE e."fullName" = s.full_name AND e.session = s.session;

-- executors.drop_unseen
DELETE FROM executors e
 WHERE e."seenAt" < clock_timestamp() - interval '7 days'
   AND NOT EXISTS (SELECT FROM "workflowRuns" r
     WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session);

-- parked.refused_meanwhile
SELECT p.token_name, p.request_id
  FROM unnest(CAST(%(token_names)s AS text[]), CAST(%(request_ids)s AS uuid[]), CAST(%(key_ids)s AS text[]),
    CAST(%(executors)s AS text[]), CAST(%(sessions)s AS uuid[]),
    CAST(%(waited_seconds)s AS double precision[]))
    AS p(token_name, request_id, key_id, executor, session, waited_seconds)
 WHERE EXISTS (
   SELECT FROM incidents i
    WHERE i.executor = p.executor AND i.session = p.session
      AND i.at BETWEEN transaction_timestamp() - make_interval(secs => p.waited_seconds)
                   AND clock_timestamp())
    OR EXISTS (
   SELECT FROM "accessTokens" a
    WHERE a."keyId" = p.key_id
      AND (a."revokedAt" IS NOT NULL OR a."expiresAt" <= clock_timestamp()));

-- incidents.forgive
UPDATE incidents SET number = 0 WHERE executor = %(executor)s AND number > 0;

-- incidents.drop_old
DELETE FROM incidents WHERE at < clock_timestamp() - interval '24 hours';

-- queues.settings
SELECT q.name, q.paused, q."maxConcurrency" AS max_concurrency,
       q."ratePerSecond" AS rate_per_second, q."maxConcurrencyPerKey" AS max_concurrency_per_key
  FROM queues q ORDER BY q.name;

-- queues.set_paused
INSERT INTO queues AS q (name, paused, "changedBy", "changedAt")
VALUES (%(name)s, %(paused)s, %(actor)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, "changedBy" = excluded."changedBy",
  "changedAt" = excluded."changedAt";

-- queues.paused_among
SELECT name FROM queues WHERE paused AND name = ANY (CAST(%(names)s AS text[]));

-- census.walk_indexes
SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
       set_config('jit', 'off', true);

-- census.pending
WITH RECURSIVE names AS (
  (SELECT "stepQueue" AS name, 1 AS number FROM "workflowRuns"
    WHERE "runState" = 'pending' ORDER BY "stepQueue" LIMIT 1)
  UNION ALL
  SELECT n.name, w.number + 1 FROM names w CROSS JOIN LATERAL (
    SELECT r."stepQueue" AS name FROM "workflowRuns" r
     WHERE r."runState" = 'pending' AND r."stepQueue" > w.name
     ORDER BY r."stepQueue" LIMIT 1) n
   WHERE w.number < 1000),
few AS MATERIALIZED (
  SELECT n.name, c.number FROM names n
   CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
      SELECT FROM "workflowRuns" r
       WHERE r."runState" = 'pending' AND r."stepQueue" = n.name
       LIMIT 101) seen) c),
bounds AS MATERIALIZED (
  SELECT least(10000, greatest(100, 100000 / greatest(1, count(*) FILTER (WHERE number > 100)) / 100 * 100)) AS most,
         least(100, greatest(1, 5000 / greatest(1, count(*)))) AS next
    FROM few)
SELECT n.name, least(greatest(n.number, c.number), b.most), c.number > b.most,
       least(g.number, b.most), g.number > b.most,
       greatest(0, extract(epoch FROM clock_timestamp() - o.oldest))::double precision
  FROM few n CROSS JOIN bounds b
 CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT FROM "workflowRuns" r
     WHERE r."runState" = 'pending' AND r."stepQueue" = n.name AND n.number > 100
     LIMIT (SELECT most + 1 FROM bounds)) seen) c
 CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT FROM "workflowRuns" r
     WHERE r."runState" = 'pending' AND r."stepQueue" = n.name
       AND r."claimKey" = 'infinity'
     LIMIT (SELECT most + 1 FROM bounds)) seen) g
 CROSS JOIN LATERAL (SELECT min(next."availableAt") AS oldest FROM (
    SELECT r."availableAt" FROM "workflowRuns" r
     WHERE r."runState" = 'pending' AND r."stepQueue" = n.name
     ORDER BY r."claimKey", r.id LIMIT (SELECT next FROM bounds)) next) o
 ORDER BY n.name;

-- census.resting
WITH RECURSIVE names AS (
  (SELECT "runState" AS state, "stepQueue" AS name, 1 AS number FROM "workflowRuns"
    WHERE "runState" IN ('scheduled', 'waiting', 'failed', 'aborted') ORDER BY "runState", "stepQueue" LIMIT 1)
  UNION ALL
  SELECT n.state, n.name, w.number + 1 FROM names w CROSS JOIN LATERAL (
    SELECT r."runState" AS state, r."stepQueue" AS name FROM "workflowRuns" r
     WHERE r."runState" IN ('scheduled', 'waiting', 'failed', 'aborted') AND (r."runState", r."stepQueue") > (w.state, w.name)
     ORDER BY r."runState", r."stepQueue" LIMIT 1) n
   WHERE w.number < 4 * 1000),
few AS MATERIALIZED (
  SELECT n.state, n.name, c.number FROM names n
   CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
      SELECT FROM "workflowRuns" r
       WHERE r."runState" IN ('scheduled', 'waiting', 'failed', 'aborted') AND r."runState" = n.state AND r."stepQueue" = n.name
       LIMIT 101) seen) c),
bounds AS MATERIALIZED (SELECT least(10000, greatest(100, 100000 / greatest(1, count(*) FILTER (WHERE number > 100)) / 100 * 100)) AS most FROM few)
SELECT n.name, n.state, least(greatest(n.number, c.number), b.most), c.number > b.most
  FROM few n CROSS JOIN bounds b
 CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT FROM "workflowRuns" r
     WHERE r."runState" IN ('scheduled', 'waiting', 'failed', 'aborted') AND r."runState" = n.state AND r."stepQueue" = n.name
       AND n.number > 100
     LIMIT (SELECT most + 1 FROM bounds)) seen) c;

-- census.leased
WITH leases AS MATERIALIZED (
  SELECT "stepQueue", "runState", "leaseExpiresAt" < (SELECT clock_timestamp()) AS expired
    FROM "workflowRuns" WHERE "leaseId" IS NOT NULL LIMIT 20001)
SELECT l."stepQueue", count(*) FILTER (WHERE l."runState" = 'loading'),
       count(*) FILTER (WHERE l."runState" = 'started'),
       count(*) FILTER (WHERE l.expired), (SELECT count(*) FROM leases) > 20000
  FROM leases l GROUP BY l."stepQueue";

-- serving.serving
WITH leases AS MATERIALIZED (
  SELECT "lockedBy" AS full_name, "lockedSession" AS session FROM "workflowRuns"
   WHERE "leaseId" IS NOT NULL LIMIT 20000),
held AS (SELECT full_name, session, count(*) AS runs FROM leases GROUP BY full_name, session),
known AS (
  SELECT q.name, e.slots, h.runs, e.state = 'active'
         AND e."seenAt" > clock_timestamp() - interval '90 seconds' AS serves,
         e."seenAt" > max(e."seenAt") OVER (PARTITION BY q.name)
           - interval '90 seconds' AS is_last
    FROM executors e CROSS JOIN LATERAL (SELECT DISTINCT unnest(e.queues) AS name) q
    LEFT JOIN held h ON h.full_name = e."fullName" AND h.session = e.session)
SELECT name, count(*) FILTER (WHERE serves), coalesce(sum(slots) FILTER (WHERE serves), 0),
       coalesce(sum(runs) FILTER (WHERE serves AND slots IS NOT NULL), 0)::bigint,
       coalesce(avg(slots) FILTER (WHERE serves), avg(slots) FILTER (WHERE is_last),
                1)::double precision
  FROM known GROUP BY name;

-- serving.fleet
WITH leases AS MATERIALIZED (
  SELECT "lockedBy" AS full_name, "lockedSession" AS session FROM "workflowRuns"
   WHERE "leaseId" IS NOT NULL LIMIT 20000),
held AS (SELECT full_name, session, count(*) AS runs FROM leases GROUP BY full_name, session)
SELECT count(*) AS executors, coalesce(sum(e.slots), 0) AS slots,
       coalesce(sum(h.runs) FILTER (WHERE e.slots IS NOT NULL), 0)::bigint AS slots_busy
  FROM executors e
  LEFT JOIN held h ON h.full_name = e."fullName" AND h.session = e.session
 WHERE e.state = 'active'
         AND e."seenAt" > clock_timestamp() - interval '90 seconds';

-- activity.add
SET LOCAL synchronous_commit = off;
INSERT INTO activity AS a ("spanSeconds", "beganAt", queue, created, claimed, replayed, refused, reported, retried, released, expired, finished, failed, aborted)
SELECT s.seconds, s.began, c.queue, coalesce(c.created, 0), coalesce(c.claimed, 0), coalesce(c.replayed, 0), coalesce(c.refused, 0), coalesce(c.reported, 0), coalesce(c.retried, 0), coalesce(c.released, 0), coalesce(c.expired, 0), coalesce(c.finished, 0), coalesce(c.failed, 0), coalesce(c.aborted, 0)
  FROM jsonb_to_recordset(CAST(%(counts)s AS jsonb)) AS c(queue text,
         created bigint, claimed bigint, replayed bigint, refused bigint, reported bigint, retried bigint, released bigint, expired bigint, finished bigint, failed bigint, aborted bigint)
 CROSS JOIN (
  SELECT v.seconds, to_timestamp(floor(extract(epoch FROM n.now) / v.seconds) * v.seconds) AS began
    FROM (VALUES (60), (3600), (86400)) AS v(seconds)
   CROSS JOIN (SELECT clock_timestamp() AS now) n) s
 ORDER BY s.seconds, s.began, c.queue
ON CONFLICT ("spanSeconds", "beganAt", queue) DO UPDATE SET
  created = a.created + excluded.created, claimed = a.claimed + excluded.claimed, replayed = a.replayed + excluded.replayed, refused = a.refused + excluded.refused, reported = a.reported + excluded.reported, retried = a.retried + excluded.retried, released = a.released + excluded.released, expired = a.expired + excluded.expired, finished = a.finished + excluded.finished, failed = a.failed + excluded.failed, aborted = a.aborted + excluded.aborted;

-- activity.claimed_per_minute
SELECT a.queue, array_agg((floor(extract(epoch FROM n.now) / 60)
                           - extract(epoch FROM a."beganAt") / 60)::integer),
       array_agg(a.claimed)
  FROM activity a CROSS JOIN (SELECT clock_timestamp() AS now) n
 WHERE a."spanSeconds" = 60 AND a.queue = ANY (CAST(%(queues)s AS text[]))
   AND a."beganAt" < to_timestamp(floor(extract(epoch FROM n.now) / 60) * 60)
   AND a."beganAt" >= to_timestamp((floor(extract(epoch FROM n.now) / 60) - %(minutes)s)
                                   * 60)
 GROUP BY a.queue;

-- activity.note_pending
SET LOCAL synchronous_commit = off;
INSERT INTO activity AS a ("spanSeconds", "beganAt", queue, "mostPending",
  "oldestPendingSeconds")
SELECT s.seconds, s.began, p.queue, p.number, p.oldest
  FROM unnest(CAST(%(queues)s AS text[]), CAST(%(numbers)s AS bigint[]), CAST(%(oldest)s AS bigint[]))
    AS p(queue, number, oldest)
 CROSS JOIN (
  SELECT v.seconds, to_timestamp(floor(extract(epoch FROM n.now) / v.seconds) * v.seconds) AS began
    FROM (VALUES (60), (3600), (86400)) AS v(seconds)
   CROSS JOIN (SELECT clock_timestamp() AS now) n) s
 ORDER BY s.seconds, s.began, p.queue
ON CONFLICT ("spanSeconds", "beganAt", queue) DO UPDATE
  SET "mostPending" = greatest(a."mostPending", excluded."mostPending"),
      "oldestPendingSeconds" = greatest(a."oldestPendingSeconds", excluded."oldestPendingSeconds")
  WHERE a."mostPending" < excluded."mostPending"
     OR a."oldestPendingSeconds" < excluded."oldestPendingSeconds";

-- activity.series
SELECT s.began, t.*
  FROM (
  SELECT to_timestamp((floor(extract(epoch FROM clock_timestamp()) / %(span_seconds)s) - back)
                      * %(span_seconds)s) AS began
    FROM generate_series(0, %(points)s - 1) AS back) s
 CROSS JOIN LATERAL (
   SELECT coalesce(sum(a.created), 0)::bigint, coalesce(sum(a.claimed), 0)::bigint, coalesce(sum(a.replayed), 0)::bigint, coalesce(sum(a.refused), 0)::bigint, coalesce(sum(a.reported), 0)::bigint, coalesce(sum(a.retried), 0)::bigint, coalesce(sum(a.released), 0)::bigint, coalesce(sum(a.expired), 0)::bigint, coalesce(sum(a.finished), 0)::bigint, coalesce(sum(a.failed), 0)::bigint, coalesce(sum(a.aborted), 0)::bigint,
          coalesce(sum(a."mostPending"), 0)::bigint,
          coalesce(max(a."oldestPendingSeconds"), 0)
     FROM activity a
    WHERE a."spanSeconds" = %(span_seconds)s AND a."beganAt" = s.began
      AND (CAST(%(queue)s AS text) IS NULL OR a.queue = %(queue)s)
      AND EXISTS (SELECT FROM unnest(CAST(%(patterns)s AS text[])) AS p(pattern)
        WHERE p.pattern = '*' OR p.pattern = a.queue
           OR (p.pattern LIKE '%%.*' AND starts_with(a.queue, left(p.pattern, -1))))) t
 ORDER BY s.began;

-- activity.by_queue
SELECT a.queue, sum(a.created)::bigint, sum(a.claimed)::bigint, sum(a.replayed)::bigint, sum(a.refused)::bigint, sum(a.reported)::bigint, sum(a.retried)::bigint, sum(a.released)::bigint, sum(a.expired)::bigint, sum(a.finished)::bigint, sum(a.failed)::bigint, sum(a.aborted)::bigint
  FROM (
  SELECT to_timestamp((floor(extract(epoch FROM clock_timestamp()) / %(span_seconds)s) - back)
                      * %(span_seconds)s) AS began
    FROM generate_series(0, %(points)s - 1) AS back) s
 CROSS JOIN LATERAL (
   SELECT * FROM activity a
    WHERE a."spanSeconds" = %(span_seconds)s AND a."beganAt" = s.began OFFSET 0) a
 GROUP BY a.queue;

-- activity.finished
SELECT d.queue, sum(d.finished)::bigint FROM (
  SELECT a.queue, a.finished FROM activity a WHERE a."spanSeconds" = 86400
   ORDER BY a."beganAt" DESC LIMIT 30000) d
 GROUP BY d.queue;

-- activity.drop_old
DELETE FROM activity d USING (
  SELECT a.* FROM (VALUES (60, interval '26 hours'),
                          (3600, interval '8 days'),
                          (86400, make_interval(days => nullif(%(retention_days)s, 0))))
                  AS v(seconds, kept)
   CROSS JOIN (SELECT clock_timestamp() AS now) n
   CROSS JOIN LATERAL (
     SELECT "spanSeconds", "beganAt", queue FROM activity
      WHERE "spanSeconds" = v.seconds AND "beganAt" < n.now - v.kept
      ORDER BY "beganAt", queue LIMIT %(limit)s) a) old
 WHERE (d."spanSeconds", d."beganAt", d.queue) = (old."spanSeconds", old."beganAt", old.queue);

-- refusals.add
WITH told AS MATERIALIZED (
  SELECT t."runId", t.number, r."stepQueue" AS queue, l.last
    FROM jsonb_to_recordset(CAST(%(told)s AS jsonb)) AS t("runId" uuid, number bigint, last jsonb)
    JOIN "workflowRuns" r ON r.id = t."runId"
   CROSS JOIN LATERAL (
     SELECT jsonb_agg(jsonb_build_object(
              'at', to_char((clock_timestamp() - make_interval(
                  secs => (one->>'secondsAgo')::float8)) AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
              'code', one->>'code', 'executor', one->>'executor',
              'onBehalfOf', one->>'onBehalfOf') ORDER BY place) AS last
       FROM jsonb_array_elements(t.last) WITH ORDINALITY AS o(one, place)
      WHERE one->>'leaseId' IS NULL OR EXISTS (SELECT FROM "runEvents" e
         WHERE e."runId" = t."runId" AND e."leaseId" = (one->>'leaseId')::uuid)) l
   WHERE l.last IS NOT NULL),
kept AS (
  INSERT INTO "refusedClaims" AS c ("runId", number, last)
  SELECT "runId", number, last FROM told ORDER BY "runId"
  ON CONFLICT ("runId") DO UPDATE SET number = c.number + excluded.number,
    last = (SELECT jsonb_agg(one ORDER BY place) FROM (
      SELECT one, place FROM jsonb_array_elements(c.last || excluded.last)
        WITH ORDINALITY AS o(one, place) ORDER BY place DESC LIMIT 5) newest))
SELECT queue, sum(number)::bigint FROM told GROUP BY queue;

-- refusals.refusals_of
SELECT c.number, (SELECT jsonb_agg(one ORDER BY place DESC)
                    FROM jsonb_array_elements(c.last) WITH ORDINALITY AS o(one, place)) AS last
  FROM "refusedClaims" c WHERE c."runId" = %(run_id)s;

-- vitals.keeper_standing
SELECT k."lastTickAt" AS ticked_at,
       coalesce(extract(epoch FROM n.now - k."lastTickAt"), 0)::double precision AS lag_seconds,
       coalesce(k."amnestySince" + make_interval(secs => coalesce(l.longest, 0)) > n.now, false)
         AS in_amnesty
  FROM keeper k, clock_timestamp() AS n(now),
       (SELECT max("leaseSeconds") AS longest FROM (
          SELECT "leaseSeconds" FROM "workflowRuns" WHERE "leaseId" IS NOT NULL LIMIT 1000) held) l;

-- vitals.executors_by_state
SELECT CASE WHEN "seenAt" > clock_timestamp() - interval '90 seconds' THEN state
       ELSE 'silent' END AS state, count(*) AS executors
  FROM executors GROUP BY 1;

-- vitals.unknown_outcomes
SELECT count(*) FILTER (WHERE w."waitingFor"->>'reason' = 'outcome-unknown')
  FROM (SELECT "waitingFor" FROM "workflowRuns" WHERE "runState" = 'waiting'
         ORDER BY id DESC LIMIT 5000) w;

-- vitals.table_sizes
SELECT s.relname AS name, s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows,
       pg_table_size(s.relid) AS table_bytes, pg_indexes_size(s.relid) AS index_bytes,
       greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at
  FROM pg_stat_user_tables s
 WHERE s.schemaname = current_schema() AND s.relname = ANY (CAST(%(tables)s AS text[]))
 ORDER BY s.relname;

-- workflows.put
SELECT pg_advisory_xact_lock(hashtextextended('dibs workflow ' || %(name)s, 0));
INSERT INTO workflows (name, version, definition, "firstStep", steps, "contentHash", "createdBy",
  "createdAt")
SELECT %(name)s, coalesce(max(version), 0) + 1, CAST(%(definition)s AS jsonb), %(first_step)s,
       CAST(%(steps)s AS jsonb), %(content_hash)s, %(actor)s, clock_timestamp()
  FROM workflows WHERE name = %(name)s
ON CONFLICT (name, "contentHash") DO NOTHING;
INSERT INTO "currentWorkflows" AS c (name, version, "changedBy", "changedAt")
SELECT name, version, %(actor)s, clock_timestamp() FROM workflows
 WHERE name = %(name)s AND "contentHash" = %(content_hash)s
ON CONFLICT (name) DO UPDATE SET version = excluded.version, "changedBy" = excluded."changedBy",
  "changedAt" = excluded."changedAt"
RETURNING version;

-- workflows.find
SELECT w.name, w.version, w.version = c.version AS is_current, w.definition,
       w."createdBy" AS created_by, w."createdAt" AS created_at
  FROM workflows w JOIN "currentWorkflows" c ON c.name = w.name
 WHERE w.name = %(name)s AND w.version = coalesce(CAST(%(version)s AS integer), c.version);

-- workflows.list_current
SELECT w.name, w.version, true AS is_current, w.definition, w."createdBy" AS created_by,
       w."createdAt" AS created_at
  FROM "currentWorkflows" c JOIN workflows w ON w.name = c.name AND w.version = c.version
 ORDER BY w.name;

-- workflows.summaries
SELECT c.name, c.version,
       (SELECT count(*) FROM workflows other WHERE other.name = c.name) AS versions,
       jsonb_array_length(w.definition->'steps') AS steps,
       ARRAY(SELECT DISTINCT step->>'type' FROM jsonb_array_elements(w.definition->'steps') step
              ORDER BY 1) AS step_types,
       c."changedBy" AS changed_by, c."changedAt" AS changed_at
  FROM "currentWorkflows" c JOIN workflows w ON w.name = c.name AND w.version = c.version
 ORDER BY c.name LIMIT %(limit)s;

-- workflows.versions
SELECT version FROM workflows WHERE name = %(name)s ORDER BY version;

-- workflows.served_step_types
SELECT DISTINCT t.step_type FROM executors e CROSS JOIN LATERAL unnest(e."stepTypes") t(step_type)
 WHERE e."seenAt" > clock_timestamp() - interval '90 seconds';

-- schedules.put
INSERT INTO schedules AS s (name, workflow, cron, "timeZone", input, queue, overlap, paused,
  "nextAt", "changedBy", "changedAt")
VALUES (%(name)s, %(workflow)s, %(cron)s, %(time_zone)s, CAST(%(input)s AS jsonb), %(queue)s, %(overlap)s, %(paused)s,
  %(next_at)s, %(actor)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET workflow = excluded.workflow, cron = excluded.cron,
  "timeZone" = excluded."timeZone", input = excluded.input, queue = excluded.queue,
  overlap = excluded.overlap, paused = excluded.paused, "nextAt" = excluded."nextAt",
  "changedBy" = excluded."changedBy", "changedAt" = excluded."changedAt";

-- schedules.find
SELECT s."name" AS name, s."workflow" AS workflow, s."cron" AS cron, s."timeZone" AS time_zone, s."input" AS input, s."queue" AS queue, s."overlap" AS overlap, s."paused" AS paused, s."nextAt" AS next_at, s."lastAt" AS last_at, s."lastRunId" AS last_run_id, s."changedBy" AS changed_by, s."changedAt" AS changed_at FROM schedules s WHERE s.name = %(name)s;

-- schedules.lock
SELECT s."name" AS name, s."workflow" AS workflow, s."cron" AS cron, s."timeZone" AS time_zone, s."input" AS input, s."queue" AS queue, s."overlap" AS overlap, s."paused" AS paused, s."nextAt" AS next_at, s."lastAt" AS last_at, s."lastRunId" AS last_run_id, s."changedBy" AS changed_by, s."changedAt" AS changed_at FROM schedules s WHERE s.name = %(name)s FOR UPDATE;

-- schedules.set_paused
UPDATE schedules SET paused = %(paused)s, "nextAt" = %(next_at)s, "changedBy" = %(actor)s,
       "changedAt" = clock_timestamp()
 WHERE name = %(name)s;

-- schedules.ran_now
UPDATE schedules SET "lastAt" = clock_timestamp(), "lastRunId" = %(run_id)s WHERE name = %(name)s;

-- schedules.list_schedules
SELECT s."name" AS name, s."workflow" AS workflow, s."cron" AS cron, s."timeZone" AS time_zone, s."input" AS input, s."queue" AS queue, s."overlap" AS overlap, s."paused" AS paused, s."nextAt" AS next_at, s."lastAt" AS last_at, s."lastRunId" AS last_run_id, s."changedBy" AS changed_by, s."changedAt" AS changed_at FROM schedules s ORDER BY s.name;

-- schedules.delete
DELETE FROM schedules WHERE name = %(name)s;

-- schedules.due_names
SELECT name FROM schedules WHERE NOT paused AND "nextAt" <= clock_timestamp()
 ORDER BY "nextAt" LIMIT %(limit)s;

-- schedules.due
SELECT s."name" AS name, s."workflow" AS workflow, s."cron" AS cron, s."timeZone" AS time_zone, s."input" AS input, s."queue" AS queue, s."overlap" AS overlap, s."paused" AS paused, s."nextAt" AS next_at, s."lastAt" AS last_at, s."lastRunId" AS last_run_id, s."changedBy" AS changed_by, s."changedAt" AS changed_at FROM schedules s
 WHERE NOT s.paused AND s."nextAt" <= clock_timestamp()
   AND (CAST(%(only)s AS text) IS NULL OR s.name = %(only)s)
 ORDER BY s."nextAt" LIMIT %(limit)s FOR UPDATE OF s SKIP LOCKED;

-- schedules.fired
UPDATE schedules SET "lastAt" = %(at)s, "lastRunId" = coalesce(%(run_id)s, "lastRunId"),
       "nextAt" = %(next_at)s
 WHERE name = %(name)s;

-- audit.extent
SELECT greatest((SELECT id FROM "workflowRuns" ORDER BY id DESC LIMIT 1),
                (SELECT "runId" FROM "runEvents" ORDER BY "runId" DESC LIMIT 1)) AS last_id,
       (SELECT reltuples::bigint FROM pg_class
         WHERE oid = '"workflowRuns"'::regclass) AS about_runs;

-- audit.histories_after
SELECT r.id, r."runState" AS state, r.version, r."stepIndex" AS step_index, r.attempt, r.fence,
       r."leaseId" AS lease_id, r."lockedBy" AS executor, CASE WHEN r."leaseId" IS NOT NULL AND EXISTS (
       SELECT FROM keeper k
        WHERE k."lastTickAt" > clock_timestamp() - interval '5 seconds'
          AND coalesce(k."amnestySince" + make_interval(secs => 2 * r."leaseSeconds")
                       < clock_timestamp(), true))
       THEN extract(epoch FROM clock_timestamp() - r."leaseExpiresAt")::double precision
            - r."leaseSeconds" - 1 END AS overdue_seconds
  FROM "workflowRuns" r WHERE r.id > %(after)s AND r.id <= %(through)s ORDER BY r.id LIMIT %(limit)s;
SELECT e."runId" AS run_id, e.seq, e.kind, e.at, e."fromState" AS from_state,
       e."toState" AS to_state, e."leaseId" AS lease_id, e.fence, e.executor,
       e."requestId" AS request_id, e.actor,
       CASE WHEN e.detail->>'stepIndex' ~ '^[0-9]{1,9}$'
         THEN (e.detail->>'stepIndex')::integer END AS step_index,
       e.detail->>'outcome' AS outcome, e.detail->>'outcomeHash' AS outcome_hash,
       e.detail->>'next' AS next_step, e.detail->>'as' AS as_,
       CASE WHEN e.kind = 'claimed' THEN (
         SELECT coalesce(e."leaseId" = ANY (c."leaseIds"), false) FROM "claimRequests" c
          WHERE c."tokenName" = e.actor
            AND c."requestId" = CASE WHEN e."requestId" ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
              THEN e."requestId"::uuid END) END AS granted
  FROM "runEvents" e WHERE e."runId" > %(after)s AND e."runId" <= %(through)s ORDER BY e."runId", e.seq;
SELECT s."runId" AS run_id, s."stepIndex" AS step_index, s.state
  FROM "workflowSteps" s WHERE s."runId" > %(after)s AND s."runId" <= %(through)s ORDER BY s."runId", s."stepIndex";

-- audit.histories_of
SELECT r.id, r."runState" AS state, r.version, r."stepIndex" AS step_index, r.attempt, r.fence,
       r."leaseId" AS lease_id, r."lockedBy" AS executor, CASE WHEN r."leaseId" IS NOT NULL AND EXISTS (
       SELECT FROM keeper k
        WHERE k."lastTickAt" > clock_timestamp() - interval '5 seconds'
          AND coalesce(k."amnestySince" + make_interval(secs => 2 * r."leaseSeconds")
                       < clock_timestamp(), true))
       THEN extract(epoch FROM clock_timestamp() - r."leaseExpiresAt")::double precision
            - r."leaseSeconds" - 1 END AS overdue_seconds
  FROM "workflowRuns" r WHERE r.id = ANY (CAST(%(run_ids)s AS uuid[])) ORDER BY r.id;
SELECT e."runId" AS run_id, e.seq, e.kind, e.at, e."fromState" AS from_state,
       e."toState" AS to_state, e."leaseId" AS lease_id, e.fence, e.executor,
       e."requestId" AS request_id, e.actor,
       CASE WHEN e.detail->>'stepIndex' ~ '^[0-9]{1,9}$'
         THEN (e.detail->>'stepIndex')::integer END AS step_index,
       e.detail->>'outcome' AS outcome, e.detail->>'outcomeHash' AS outcome_hash,
       e.detail->>'next' AS next_step, e.detail->>'as' AS as_,
       CASE WHEN e.kind = 'claimed' THEN (
         SELECT coalesce(e."leaseId" = ANY (c."leaseIds"), false) FROM "claimRequests" c
          WHERE c."tokenName" = e.actor
            AND c."requestId" = CASE WHEN e."requestId" ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
              THEN e."requestId"::uuid END) END AS granted
  FROM "runEvents" e WHERE e."runId" = ANY (CAST(%(run_ids)s AS uuid[])) ORDER BY e."runId", e.seq;
SELECT s."runId" AS run_id, s."stepIndex" AS step_index, s.state
  FROM "workflowSteps" s WHERE s."runId" = ANY (CAST(%(run_ids)s AS uuid[])) ORDER BY s."runId", s."stepIndex";

-- audit.contents_of
SELECT r.id AS run_id, r.workflow, r.queue, r.input FROM "workflowRuns" r
 WHERE r.id = ANY (CAST(%(run_ids)s AS uuid[]));

-- audit.grants_after
SELECT c."tokenName" AS token_name, c."requestId" AS request_id, g.run_id, g.lease_id,
       r.id IS NOT NULL AS run_exists, e.actor AS claimed_by, e."requestId" AS claimed_for
  FROM (SELECT * FROM "claimRequests" q
         WHERE (q."tokenName", q."requestId") > (%(token_name)s, %(request_id)s)
         ORDER BY q."tokenName", q."requestId" LIMIT %(limit)s) c
  LEFT JOIN LATERAL unnest(c."runIds", c."leaseIds") AS g(run_id, lease_id) ON true
  LEFT JOIN "workflowRuns" r ON r.id = g.run_id
  LEFT JOIN "runEvents" e
    ON e."runId" = g.run_id AND e."leaseId" = g.lease_id AND e.kind = 'claimed'
 ORDER BY c."tokenName", c."requestId";

-- tokens.find
SELECT "keyId" AS key_id, name, role, "secretHash" AS secret_hash, queues,
  "createdAt" AS created_at, "expiresAt" AS expires_at, "revokedAt" AS revoked_at, development,
  "compatHash" AS compat_hash,
  "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp()) AS active FROM "accessTokens" WHERE "keyId" = %(key_id)s;

-- tokens.version_of_active
SELECT count(*) || ':' || coalesce(sum(hashtextextended(CAST(t AS text), 0)), 0)
  FROM "accessTokens" t
 WHERE "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp());

-- tokens.list_active
SELECT * FROM (SELECT "keyId" AS key_id, name, role, "secretHash" AS secret_hash, queues,
  "createdAt" AS created_at, "expiresAt" AS expires_at, "revokedAt" AS revoked_at, development,
  "compatHash" AS compat_hash,
  "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp()) AS active FROM "accessTokens") t
 WHERE active AND (CAST(%(development)s AS boolean) OR NOT development);

-- tokens.active_development_names
SELECT DISTINCT name FROM (SELECT "keyId" AS key_id, name, role, "secretHash" AS secret_hash, queues,
  "createdAt" AS created_at, "expiresAt" AS expires_at, "revokedAt" AS revoked_at, development,
  "compatHash" AS compat_hash,
  "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp()) AS active FROM "accessTokens" WHERE development) t
 WHERE active ORDER BY name;

-- tokens.mark_development
UPDATE "accessTokens" SET development = true WHERE "keyId" = %(key_id)s AND NOT development;

-- tokens.list_tokens
SELECT "keyId" AS key_id, name, role, "secretHash" AS secret_hash, queues,
  "createdAt" AS created_at, "expiresAt" AS expires_at, "revokedAt" AS revoked_at, development,
  "compatHash" AS compat_hash,
  "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp()) AS active FROM "accessTokens"
 WHERE CAST(%(name)s AS text) IS NULL OR name = %(name)s ORDER BY name, "createdAt";

-- tokens.lock_name
SELECT pg_advisory_xact_lock(hashtextextended('dibs token ' || %(name)s, 0));

-- tokens.create
INSERT INTO "accessTokens" ("keyId", name, role, "secretHash", queues, "createdAt", "expiresAt",
                            development, "compatHash")
VALUES (%(key_id)s, %(name)s, %(role)s, %(secret_hash)s, %(queues)s, clock_timestamp(),
        clock_timestamp() + CAST(%(lasts)s AS interval), %(development)s, CAST(%(compat_hash)s AS bytea));

-- tokens.revoke
UPDATE "accessTokens" SET "revokedAt" = clock_timestamp()
 WHERE "revokedAt" IS NULL AND (name = CAST(%(name)s AS text) OR "keyId" = CAST(%(key_id)s AS text));
