// An executor in plain JavaScript: six calls, and nothing but Node 20.
//   ORCHESTRATOR_URL=http://127.0.0.1:8420 EXECUTOR_TOKEN=dibs_… node executor.mjs handlers.mjs
// A handler is a function of (input, {run, step, fence, signal}) that returns the step's output or
// throws; an error's `retryable` says whether the step may be tried again. SIGTERM drains.
import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const { ORCHESTRATOR_URL, EXECUTOR_TOKEN, EXECUTOR_NAME: executor = "javascript" } = process.env;
const queues = (process.env.EXECUTOR_QUEUES ?? "default").split(",");
const slots = Number(process.env.EXECUTOR_SLOTS ?? 4);
const leaseSeconds = Number(process.env.EXECUTOR_LEASE_SECONDS ?? 30);
const stopSeconds = Number(process.env.EXECUTOR_STOP_TIMEOUT_S ?? 20);
if (!ORCHESTRATOR_URL || !EXECUTOR_TOKEN || !process.argv[2]) {
  console.error("usage: ORCHESTRATOR_URL=… EXECUTOR_TOKEN=… node executor.mjs handlers.mjs");
  process.exit(78);
}
const { default: handlers } = await import(resolve(process.argv[2]));

const session = randomUUID(); // This start of the process.
const held = new Map(); // leaseId → lease; one is named in renewals until its report is answered.
const claiming = new Set(); // The requestIds of claims that are not answered yet.
const stopping = new AbortController();
let asOf = null;

// Every call carries its key (a requestId, a lease), so it is repeated until it is answered.
async function call(method, path, body, giveUp = new AbortController().signal) {
  for (let pause = 0.2; ; pause = Math.min(pause * 2, 5)) {
    giveUp.throwIfAborted();
    const answer = await fetch(ORCHESTRATOR_URL + path, {
      method,
      headers: { Authorization: `Bearer ${EXECUTOR_TOKEN}`, "Content-Type": "application/json" },
      body: JSON.stringify({ session, ...body }),
      signal: AbortSignal.any([giveUp, AbortSignal.timeout(40_000)]),
    }).catch(() => null);
    const text = await answer?.text().catch(() => null);
    if (answer?.ok && text) return JSON.parse(text);
    if (answer && answer.status < 500 && answer.status !== 429) throw new Error(`${path}: ${text}`);
    const asked = Number(answer?.headers.get("Retry-After") ?? 0);
    await sleep(Math.max(asked, pause * Math.random()) * 1000, null, { signal: giveUp });
  }
}

const register = (draining) => {
  const body = { slots, queues, stepTypes: Object.keys(handlers), draining };
  return call("PUT", `/v1/executors/${executor}`, body, AbortSignal.timeout(10_000));
};

async function claim() {
  const requestId = randomUUID();
  const body = { executor, requestId, queues, limit: slots - held.size, leaseSeconds, waitSeconds: 20 };
  claiming.add(requestId);
  try {
    const { dispatches, nextPollAfterMs } = await call("POST", "/v1/claims", body, stopping.signal);
    for (const dispatch of dispatches) execute(dispatch);
    await sleep(nextPollAfterMs);
  } finally {
    claiming.delete(requestId); // What it got and nobody names is freed by the next renewals.
  }
}

async function execute(dispatch) {
  const [runId, { id: leaseId, seconds }] = [dispatch.run.id, dispatch.lease];
  const lease = { runId, cancel: new AbortController(), until: performance.now() + seconds * 1000 };
  held.set(leaseId, lease);
  try {
    for (let next = dispatch; next; ) {
      const outcome = await outcomeOf(next, lease.cancel);
      if (lease.lost) return; // It is somebody else's run now: nothing is written.
      const report = { leaseId, runId, stepIndex: next.step.index, outcome };
      const body = { executor, chain: !stopping.signal.aborted, reports: [report] };
      const [told] = (await call("POST", "/v1/reports", body)).results;
      if (told.problem) console.error(`run ${runId}: ${told.problem.detail}`);
      next = told.status === "continue" ? told.next : null;
    }
  } catch (error) {
    console.error(`run ${runId}: ${error.message}`);
  } finally {
    held.delete(leaseId);
  }
}

async function outcomeOf({ run, step, lease: { id: leaseId, fence } }, cancel) {
  const handler = handlers[step.type];
  if (!handler) return { status: "error", message: `no handler for ${step.type}`, retryable: false };
  // Written ahead: a mutating step that has begun is never run again by itself.
  if (step.mutating) await call("POST", `/v1/runs/${run.id}/steps/${step.index}/start`, { executor, leaseId });
  const timer = step.timeoutSeconds && setTimeout(() => cancel.abort(), step.timeoutSeconds * 1000);
  try {
    const output = await handler(step.input, { run, step, fence, signal: cancel.signal });
    return { status: "success", output: output ?? null };
  } catch ({ message, retryable = !step.mutating }) {
    if (step.mutating && cancel.signal.aborted) return { status: "unknown", message };
    return { status: "error", message, retryable };
  } finally {
    clearTimeout(timer);
  }
}

const named = () => [...held].map(([leaseId, { runId }]) => ({ leaseId, runId }));
const lose = (lease) => lease && ((lease.lost = true), lease.cancel.abort());

async function renew() {
  if (!held.size && !claiming.size) return;
  const [sentAt, patience] = [performance.now(), AbortSignal.timeout(Math.ceil(leaseSeconds * 333))];
  const body = { executor, leases: named(), claiming: [...claiming], asOf };
  const told = await call("POST", "/v1/leases/renew", body, patience);
  asOf = told.serverTime;
  const renewed = told.renewed.map(({ leaseId }) => held.get(leaseId)).filter(Boolean);
  for (const lease of renewed) lease.until = sentAt + leaseSeconds * 1000;
  for (const leaseId of told.lost) lose(held.get(leaseId));
  for (const leaseId of told.abort) held.get(leaseId)?.cancel.abort();
}

const complain = (error) => stopping.signal.aborted || console.error(error.message);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => stopping.abort());
setInterval(() => renew().catch(complain), (leaseSeconds * 1000) / 3);
// Past our own deadline the work stops, whatever the network does.
setInterval(() => held.forEach((lease) => lease.until < performance.now() && lose(lease)), 200);

await register(false);
console.error(`${executor} serves ${queues}`);
while (!stopping.signal.aborted)
  await (held.size < slots ? claim().catch(complain) : sleep(20));
await register(true).catch(complain);
for (const until = performance.now() + stopSeconds * 1000; held.size && performance.now() < until; )
  await sleep(50);
const [leases, release] = [named(), { executor, reason: "draining" }];
held.forEach(lose);
if (leases.length)
  await call("POST", "/v1/leases/release", { ...release, leases }, AbortSignal.timeout(10_000));
process.exit(0);
