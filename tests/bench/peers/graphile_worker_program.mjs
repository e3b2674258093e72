// graphile-worker's side, run by node in graphile-worker's own environment.
//
// `fill <jobs>` makes the tables and so many jobs; `work <jobs at once> <local queue>`
// says it is ready, waits for a line, works until its input ends, and prints how many jobs
// it executed and when the first began, in nanoseconds of the clock that all processes share.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

// Installed where it is run, not where this file is.
const { Logger, makeWorkerUtils, run } = createRequire(`${process.cwd()}/`)("graphile-worker");

const connectionString = process.env.BENCH_URL;
const logger = new Logger(() => () => {});

async function fill(jobs) {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  await utils.withPgClient((client) =>
    client.query("TRUNCATE graphile_worker._private_jobs, graphile_worker._private_job_queues"),
  );
  await utils.addJobs(Array.from({ length: jobs }, () => ({ identifier: "noop", payload: {} })));
  await utils.release();
}

async function work(concurrentJobs, localQueueSize) {
  let beganAt = 0n;
  let executed = 0;
  const taskList = {
    noop: async () => {
      if (executed === 0) beganAt = process.hrtime.bigint();
      executed += 1;
    },
  };
  const preset = {
    worker: {
      connectionString,
      logger,
      concurrentJobs,
      maxPoolSize: concurrentJobs + 1,
      localQueue: { size: localQueueSize, refetchDelay: { durationMs: 10 } },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  };
  const lines = createInterface({ input: process.stdin });
  const ended = new Promise((resolve) => lines.once("close", resolve));
  console.log("ready");
  await new Promise((resolve) => lines.once("line", resolve));
  const runner = await run({ preset, taskList, parsedCronItems: [], noHandleSignals: true });
  await ended;
  await runner.stop();
  console.log(`${executed} ${beganAt}`);
}

const [verb, ...numbers] = process.argv.slice(2);
await { fill, work }[verb](...numbers.map(Number));
