// Handlers for docs/examples/executor.mjs: they write down what they do, as handlers.py does.
import { appendFileSync, existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { ACCEPTANCE_JOURNAL, ACCEPTANCE_GATES } = process.env;

function note(what, { run, step, fence }) {
  const line = [what, run.id, step.idempotencyKey, fence, run.lockedBy, process.pid].join(" ");
  appendFileSync(ACCEPTANCE_JOURNAL, line + "\n");
}

async function record(input, context) {
  note("began", context);
  while (input?.gate && !existsSync(`${ACCEPTANCE_GATES}/${input.gate}`)) {
    if (context.signal.aborted) {
      note("cancelled", context);
      throw new Error("cancelled");
    }
    await sleep(20);
  }
  note("ended", context);
  return { input };
}

export default {
  record,
  mutating: record,
  async unhurried(_, { signal }) {
    while (!signal.aborted) await sleep(20);
  },
  async tell(_, { signal }) {
    return { cancelled: signal.aborted };
  },
  async huge() {
    return "x".repeat(300_000);
  },
  async refuse() {
    throw Object.assign(new Error("never"), { retryable: false });
  },
};
