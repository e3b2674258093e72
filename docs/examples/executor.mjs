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
const stopping = new AbortController(); // From now on nothing begins.
const over = new AbortController(); // And now no claim is waited for.
let [asOf, stopBy] = [null, Infinity];

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
    if (answer && answer.status < 500 && answer.status !== 429)
      throw Object.assign(new Error(`${path}: ${text}`), { status: answer.status });
    const asked = Number(answer?.headers.get("Retry-After")) || 0;
    await sleep(Math.max(asked, pause * Math.random()) * 1000, null, { signal: giveUp });
  }
}

const register = (draining) => {
  const body = { slots, queues, stepTypes: Object.keys(handlers), draining };
  return call("PUT", `/v1/executors/${executor}`, body, AbortSignal.timeout(10_000));
};

async function claim() {
  const [requestId, sentAt] = [randomUUID(), performance.now()];
  const body = { executor, requestId, queues, limit: slots - held.size, leaseSeconds, waitSeconds: 20 };
  claiming.add(requestId);
  try {
    // When it is time to stop, what is parked is left to be answered: it may have been granted.
    const { dispatches, nextPollAfterMs } = await call("POST", "/v1/claims", body, over.signal);
    // A lease counts from when its claim was sent; of one that was parked, nobody here knows more.
    const isLate = performance.now() - sentAt > (leaseSeconds * 1000) / 3;
    const until = isLate ? Infinity : sentAt + leaseSeconds * 1000;
    for (const dispatch of dispatches) execute(dispatch, until);
    if (isLate) renew().catch(complain);
    await sleep(nextPollAfterMs, null, { signal: stopping.signal });
  } finally {
    claiming.delete(requestId);
  }
}

async function execute(dispatch, until) {
  const [runId, { id: leaseId }] = [dispatch.run.id, dispatch.lease];
  const lease = { runId, cancel: new AbortController(), until };
  held.set(leaseId, lease);
  try {
    while (lease.until === Infinity && !lease.lost) await sleep(10); // Until a renewal is answered.
    if (stopping.signal.aborted) return await release([{ leaseId, runId }]);
    for (let next = dispatch; next; ) {
      const { index: stepIndex, mutating } = next.step;
      const outcome = await outcomeOf(next, lease.cancel.signal);
      if (lease.lost) return; // It is somebody else's run now: nothing is written.
      let told = await report({ leaseId, runId, stepIndex, outcome });
      if (told.problem) console.error(`run ${runId}: ${told.problem.detail}`);
      if ([413, 422].includes(told.problem?.status)) {
        // Refused for what it says. Untold, it would be executed again after its lease.
        const [status, message] = [mutating ? "unknown" : "error", "its output was refused"];
        const outcome = mutating ? { status, message } : { status, message, retryable: false };
        told = await report({ leaseId, runId, stepIndex, outcome });
      }
      next = told.status === "continue" ? told.next : null;
    }
  } catch (error) {
    console.error(`run ${runId}: ${error.message}`);
  } finally {
    held.delete(leaseId);
  }
}

async function report(item) {
  const body = { executor, chain: !stopping.signal.aborted, reports: [item] };
  const refused = ({ status = 422, message: detail }) => ({ results: [{ problem: { status, detail } }] });
  return (await call("POST", "/v1/reports", body).catch(refused)).results[0];
}

async function outcomeOf({ run, step, lease: { id: leaseId, fence } }, cancelled) {
  const handler = handlers[step.type];
  if (!handler) return { status: "error", message: `no handler for ${step.type}`, retryable: false };
  // Written ahead: a mutating step that has begun is never run again by itself.
  const start = `/v1/runs/${run.id}/steps/${step.index}/start`;
  if (step.mutating) await call("POST", start, { executor, leaseId });
  if (cancelled.aborted) return { status: "error", message: "cancelled before it began" };
  const late = step.timeoutSeconds ? [AbortSignal.timeout(step.timeoutSeconds * 1000)] : [];
  const signal = AbortSignal.any([cancelled, ...late]);
  try {
    const output = await handler(step.input, { run, step, fence, signal });
    return { status: "success", output: output ?? null };
  } catch (thrown) {
    const { message = String(thrown), retryable = !step.mutating } = Object(thrown);
    if (step.mutating && signal.aborted) return { status: "unknown", message };
    return { status: "error", message, retryable };
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

const release = (leases) => {
  const body = { executor, reason: "draining", leases };
  return call("POST", "/v1/leases/release", body, AbortSignal.timeout(10_000));
};

const complain = (error) => error.name === "AbortError" || console.error(error.message);
const rest = () => sleep(2000, null, { signal: stopping.signal }).catch(complain);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => stopping.abort());
stopping.signal.addEventListener("abort", () => {
  register(true).catch(complain); // So what is parked is answered.
  setTimeout(() => over.abort(), Math.max(stopSeconds, 5) * 1000);
  stopBy = performance.now() + stopSeconds * 1000;
});
setInterval(() => renew().catch(complain), (leaseSeconds * 1000) / 3);
// Past our own deadline the work stops, whatever the network does.
setInterval(() => held.forEach((lease) => lease.until < performance.now() && lose(lease)), 200);

await register(false);
console.error(`${executor} serves ${queues}`);
while (!stopping.signal.aborted)
  await (held.size < slots ? claim().catch((error) => (complain(error), rest())) : sleep(20));
while (held.size && performance.now() < stopBy) await sleep(50);
const left = named();
held.forEach(lose);
if (left.length) await release(left);
process.exit(0);
