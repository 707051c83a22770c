import { parentPort, workerData } from 'node:worker_threads';
import type { PlanAnswer, PlanQuestion } from '../protocol/api/history-resources.ts';
import { runFleet, type FleetOutcome } from '../simulation/plan/fleet-run.ts';
import { findFleet, parseTarget } from '../simulation/plan/target.ts';
import type { TracedJob } from '../simulation/plan/trace.ts';

/** Plays jobs of the past in a thread of its own, so that the controller goes on meanwhile. */

const DESTROY_MS = 5_000;

const { question, jobs } = workerData as { question: PlanQuestion; jobs: TracedJob[] };
parentPort?.postMessage(answer());

function answer(): PlanAnswer {
  const { slots, makeMs, hosts: asked = 1 } = question;
  const run = (hosts: number): FleetOutcome => {
    const ready = Math.ceil((hosts * slots * question.ready) / 100);
    return runFleet({ hosts, slots, ready, makeMs, destroyMs: DESTROY_MS }, jobs);
  };
  const target = question.target === undefined ? undefined : parseTarget(question.target);
  const { hosts, tried } =
    target === undefined ? { hosts: undefined, tried: [run(asked)] } : findFleet(target, run);
  const played = `the ${jobs.length} jobs of the last ${question.hours} hours`;
  const summary =
    target === undefined
      ? `${played[0]?.toUpperCase()}${played.slice(1)}, on ${asked} hosts.`
      : hosts === undefined
        ? `No number of hosts reaches ${question.target} for ${played}: keep more ready, or make workers faster.`
        : `${hosts} hosts are the fewest with ${question.target}, for ${played}.`;
  return {
    ...{ jobs: jobs.length, summary },
    ...(hosts === undefined ? {} : { hosts }),
    tried: tried.map(({ plan, wait, use, course }) => ({
      ...{ hosts: plan.hosts, wait, use, course: [...course] },
    })),
  };
}
