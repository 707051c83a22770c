import { parentPort, workerData } from 'node:worker_threads';
import type { PlanAnswer, PlanQuestion } from '../protocol/api/history-resources.ts';
import { askFleet } from '../simulation/plan/ask.ts';
import { parseTarget } from '../simulation/plan/target.ts';
import type { TracedJob } from '../simulation/plan/trace.ts';

/** Plays jobs of the past in a thread of its own, so that the controller goes on meanwhile. */

const { question, jobs } = workerData as { question: PlanQuestion; jobs: TracedJob[] };
parentPort?.postMessage(answer());

function answer(): PlanAnswer {
  const { hours, hosts: asked = 1, slots, ready, makeMs } = question;
  const target = question.target === undefined ? undefined : parseTarget(question.target);
  const { hosts, tried } = askFleet({ hosts: asked, slots, ready, makeMs, target }, jobs);
  const played = `the ${jobs.length} jobs of the last ${hours} hours`;
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
