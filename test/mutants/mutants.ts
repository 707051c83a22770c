/** A bug that somebody could make: `from`, which is there once, becomes `to`. */
export interface Mutant extends Edit {
  readonly name: string;
  /** Where something else stands in for what is broken, that is broken too. */
  readonly also?: Edit;
  /** Among which faults it is looked for; absent: all. */
  readonly faults?: string;
  /** How it is looked for, where that takes long. */
  readonly args?: readonly string[];
}

export interface Edit {
  /** Below `src`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const FIT = 'domain/scheduling/fit.ts';
const PASS = 'domain/scheduling/pass.ts';
const DECIDE = 'domain/scheduling/decide.ts';
const ENDINGS = 'controller/job-endings.ts';
const OBSERVE = 'controller/sessions/observe.ts';
const SESSIONS = 'controller/sessions/agent-sessions.ts';
const KEEP = 'controller/reconcile/keep-fleet.ts';
const JOBS = 'db/queries/jobs.ts';

/** Bugs in what decides, which the simulator has to find. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a Mac gets a third guest of macOS',
    file: FIT,
    from: 'used.macosVms + foreign >= capacity.macosVms',
    to: 'used.macosVms + foreign > capacity.macosVms',
    also: {
      file: 'domain/scheduling/host-index.ts',
      from: 'return Math.min(roomOf(host), slots - host.usage.macosVms);',
      to: 'return Math.min(roomOf(host), slots + 1 - host.usage.macosVms);',
    },
  },
  {
    name: 'a host gets more workers than it takes',
    file: FIT,
    from: 'used.workers >= capacity.workers',
    to: 'used.workers > capacity.workers',
    also: {
      file: 'domain/scheduling/host-index.ts',
      from: 'return (status.facts?.capacity.workers ?? 0) - usage.workers;',
      to: 'return (status.facts?.capacity.workers ?? 0) + 1 - usage.workers;',
    },
  },
  {
    name: 'any pool takes any job',
    file: FIT,
    from: 'return no(`the job asks for pool ${job.pool}`);',
    to: 'return { fits: true };',
  },
  {
    name: 'quotas are not looked at',
    file: 'domain/scheduling/turns.ts',
    from: 'return has >= quota ? Infinity : has / weight;',
    to: 'return has / weight;',
  },
  {
    name: 'a quota is passed by one',
    file: 'domain/scheduling/turns.ts',
    from: 'has >= quota ?',
    to: 'has > quota ?',
  },
  {
    name: 'what a pass hands out is not counted for its team',
    file: 'domain/scheduling/turns.ts',
    from: 'this.#has.set(line.team, (this.#has.get(line.team) ?? 0) + 1);',
    to: '',
  },
  {
    name: 'hosts that are gone are never given up',
    file: DECIDE,
    from: 'if (silentForMs < hostLostAfterMs) {',
    to: 'if (silentForMs >= 0) {',
  },
  {
    name: 'failed workers are not retired',
    file: DECIDE,
    from: "if (worker.state === 'failed') return 'it failed';",
    to: "if (worker.state === 'failed') return undefined;",
    also: {
      file: OBSERVE,
      from: "  if (next === 'failed' && row.goal !== 'destroyed') {\n    await setWorkerGoal(",
      to: "  if (next === 'destroyed' && row.goal !== 'destroyed') {\n    await setWorkerGoal(",
    },
  },
  {
    name: 'surplus workers stay',
    file: DECIDE,
    from: '    retireSurplus(fleet, circumstances.now, pass);\n',
    to: '',
  },
  {
    name: 'no worker is kept ready',
    file: DECIDE,
    from: '    pass.keepReady();\n',
    to: '',
  },
  {
    name: 'no worker is made for a job that waits',
    file: DECIDE,
    from: '    pass.makeForWaiting();\n',
    to: '',
  },
  {
    name: 'a pool grows beyond its maximum',
    file: PASS,
    from: '  #make(plan: Plan, job: QueuedJob | undefined): boolean {\n    const { pool, canary, rollout } = plan.state;\n    if (plan.live >= pool.max) return false;',
    to: '  #make(plan: Plan, job: QueuedJob | undefined): boolean {\n    const { pool, canary, rollout } = plan.state;',
  },
  {
    name: 'a job whose command may have run goes back to the queue',
    file: ENDINGS,
    from: '(!loss.ran || job.retries_left > 0)',
    to: '(!loss.ran || job.retries_left >= 0)',
  },
  {
    name: 'a retry is not spent',
    file: JOBS,
    from: 'retries_left = retries_left - $3',
    to: 'retries_left = retries_left - 0 * $3',
  },
  {
    name: 'a hand-over has the number of the one before',
    file: JOBS,
    from: "SET state = 'assigned', epoch = epoch + 1,",
    to: "SET state = 'assigned', epoch = CASE WHEN epoch = 0 THEN 1 ELSE epoch END,",
  },
  {
    name: 'a finished job can end again',
    faults: 'cloud,network',
    file: ENDINGS,
    from: "  if (job.state === 'finished') return;\n  const again",
    to: '  const again',
    also: {
      file: JOBS,
      from: "       started_at = COALESCE(started_at, $5), finished_at = $6, log_bytes = COALESCE($7, log_bytes)\n     WHERE id = $1 AND state <> 'finished'`",
      to: '       started_at = COALESCE(started_at, $5), finished_at = $6, log_bytes = COALESCE($7, log_bytes)\n     WHERE id = $1`',
    },
  },
  {
    name: 'the result of any worker is taken',
    file: OBSERVE,
    from: "if (job === undefined || job.state === 'finished' || job.worker_id !== row.id) return;",
    to: 'if (job === undefined) return;',
  },
  {
    name: 'a job that failed before it began is lost',
    file: OBSERVE,
    from: 'ran: seen.jobId === job.id || mayHaveRun(row.state),',
    to: 'ran: true,',
    args: ['--faults', 'hosts', '--seeds', '1500', '--most-faults', '12'],
  },
  {
    name: 'workers that vanished are still expected',
    file: OBSERVE,
    from: '    if (!report.complete) return;\n',
    to: '    if (report.complete || !report.complete) return;\n',
    also: {
      file: 'agent/decide.ts',
      from: "    run: 'give-up',\n    cancel: 'give-up',\n    destroyed: 'forget',",
      to: "    run: 'wait',\n    cancel: 'wait',\n    destroyed: 'forget',",
    },
  },
  {
    name: 'a report about a worker only just asked for counts it as gone',
    file: OBSERVE,
    from: "if (listed.has(row.id) || row.state === 'requested') continue;",
    to: 'if (listed.has(row.id)) continue;',
  },
  {
    name: 'a session takes over whatever began since it was welcome',
    file: 'db/queries/hosts.ts',
    from: 'WHERE id = $1 AND session_no = $3`',
    to: 'WHERE id = $1 AND $3 >= 0`',
    args: ['--faults', 'network,hosts', '--seeds', '1500', '--most-faults', '12'],
  },
  {
    name: 'the end of a session is not recorded',
    file: SESSIONS,
    from: '        await session.recordEnd();\n',
    to: '',
  },
  {
    name: 'a controller without its database keeps its agents',
    file: 'simulation/sim-controller.ts',
    from: "alone: () => this.#sessions.closeAll('the controller does not reach its database'),",
    to: 'alone: () => undefined,',
    args: ['--faults', 'network', '--seeds', '600', '--for', '4m', '--jobs', '40'],
  },
  {
    name: 'a lease that ran out is taken by nobody',
    file: 'controller/leases.ts',
    from: 'const free = row === undefined || row.expires_at <= now;',
    to: 'const free = row === undefined;',
  },
  {
    name: 'a change of a worker is not noticed',
    file: KEEP,
    from: '    for (const id of stale.workers) await this.#readWorker(db, fleet, id);\n',
    to: '',
  },
  {
    name: 'a new job is not noticed',
    file: KEEP,
    from: '    for (const id of stale.jobs) await this.#readJob(db, fleet, id);\n',
    to: '',
  },
  {
    name: 'a host that comes or goes is not noticed',
    file: KEEP,
    from: "else if (kind === 'host') this.#stale.hostNames.add(subject);",
    to: '',
  },
  {
    name: 'what other controllers change is not heard',
    file: 'controller/relay.ts',
    from: 'if (from !== me) bus.publish(all ? ANYTHING : changeOf(hosts, rows));',
    to: 'if (from === me) bus.publish(all ? ANYTHING : changeOf(hosts, rows));',
  },
  {
    name: 'a ready worker is not given its job',
    file: 'agent/decide.ts',
    from: "    run: 'hand-over',",
    to: "    run: 'wait',",
  },
  {
    name: 'a half-made worker is waited for',
    file: 'agent/decide.ts',
    from: "  unfinished: {\n    unknown: 'give-up',\n    ready: 'give-up',",
    to: "  unfinished: {\n    unknown: 'wait',\n    ready: 'wait',",
  },
  {
    name: 'a result is not delivered when its job was cancelled',
    file: 'agent/decide.ts',
    from: "    run: 'deliver',\n    cancel: 'deliver',",
    to: "    run: 'deliver',\n    cancel: 'wait',",
  },
  {
    name: 'a worker whose job ended is handed over again',
    file: 'agent/decide.ts',
    from: "    run: 'deliver',\n    cancel: 'deliver',",
    to: "    run: 'hand-over',\n    cancel: 'deliver',",
  },
  {
    name: 'a worker takes one job more than its pool says',
    file: 'domain/worker.ts',
    from: 'return epoch < jobs &&',
    to: 'return epoch <= jobs &&',
  },
  {
    name: 'a worker keeps its epoch for its next job',
    file: OBSERVE,
    from: 'epoch: row.epoch + 1, now: changes.now',
    to: 'epoch: row.epoch, now: changes.now',
  },
  {
    name: 'a host reboots before it is empty',
    file: DECIDE,
    from: 'task?.given === false && status.online && workers.size === 0',
    to: 'task?.given === false && status.online',
  },
  {
    name: 'teams take no turns',
    file: 'domain/scheduling/turns.ts',
    from: 'return has >= quota ? Infinity : has / weight;',
    to: 'return has >= quota ? Infinity : 0;',
  },
  {
    name: 'weights of teams are not looked at',
    file: 'domain/scheduling/turns.ts',
    from: 'return has >= quota ? Infinity : has / weight;',
    to: 'return has >= quota ? Infinity : has;',
  },
];
