import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { limiter } from '../../platform/limiter.ts';
import { BuildError } from '../build-error.ts';
import type { BuildRequest } from '../one-build.ts';
import type { BuildOutcome } from '../report.ts';
import { expandMatrix, type CellPlan } from './expand.ts';
import type { LoadedMatrix } from './load-matrix.ts';
import type { Cell, CellStatus, Report } from './report.ts';

export interface MatrixRun extends Pick<
  BuildRequest,
  'contextDir' | 'secrets' | 'trust' | 'signal'
> {
  readonly loaded: LoadedMatrix;
  /** Directory for the cells' logs, below `logs/`. */
  readonly dir: string;
  readonly parallel: number;
  build(request: BuildRequest): Promise<BuildOutcome>;
  now(): number;
  onCell(cell: Cell, done: number, of: number): void;
}

/**
 * Builds every cell, so many at a time. What cells have in common is built once, since equal steps
 * are; a run that was interrupted goes on where it was. Throws the signal's reason when aborted.
 */
export async function runMatrix(run: MatrixRun): Promise<Report> {
  const { loaded, dir, parallel, signal } = run;
  const { matrix } = loaded;
  const plans = expandMatrix(matrix, loaded.parsed.spec);
  await mkdir(join(dir, 'logs'), { recursive: true });
  const startedAt = new Date(run.now()).toISOString();
  const inTurn = limiter(parallel);
  let done = 0;
  const cells = await Promise.all(
    plans.map((plan) =>
      inTurn(async () => {
        signal.throwIfAborted();
        const cell = await buildCell(run, plan);
        done += 1;
        run.onCell(cell, done, plans.length);
        return cell;
      }),
    ),
  );
  signal.throwIfAborted();
  return {
    ...{ format: 'pomona-matrix-1', name: matrix.name, startedAt },
    finishedAt: new Date(run.now()).toISOString(),
    rows: matrix.rows.map(({ name }) => name),
    columns: Object.keys(matrix.columns),
    cells,
  };
}

async function buildCell(run: MatrixRun, plan: CellPlan): Promise<Cell> {
  const { row, column, skip } = plan;
  const nothing = { row, column, durationMs: 0, steps: 0, cachedSteps: 0 };
  if (skip !== undefined) return { ...nothing, status: 'skipped', reason: skip };
  const name = `${row}@${column}.log`;
  const log = createWriteStream(join(run.dir, 'logs', name));
  const write = async (data: string | Buffer) => {
    if (!log.write(data)) await once(log, 'drain');
  };
  const begun = performance.now();
  const count = { steps: 0, cachedSteps: 0 };
  let outcome: BuildOutcome | { readonly error: Error };
  try {
    outcome = await run.build({
      parsed: { ...run.loaded.parsed, spec: plan.spec },
      contextDir: run.contextDir,
      secrets: run.secrets,
      trust: run.trust,
      noCache: false,
      signal: run.signal,
      async onEvent(event) {
        if (event.type === 'step') await write(`(${event.place.heading})\n`);
        else if (event.type === 'output') await write(event.data);
        else if (event.type === 'done') {
          count.steps += 1;
          if (event.how !== 'made') count.cachedSteps += 1;
        }
      },
    });
  } catch (error) {
    outcome = { error: error as Error };
  }
  if ('error' in outcome) await write(`\n${outcome.error.message}\n`);
  log.end();
  await finished(log);
  const durationMs = Math.round(performance.now() - begun);
  const verdict = verdictOf(outcome, run.loaded.matrix.statuses);
  return { row, column, ...verdict, ...count, durationMs, log: `logs/${name}` };
}

function verdictOf(
  outcome: BuildOutcome | { readonly error: Error },
  statuses: Readonly<Record<string, CellStatus>>,
): Pick<Cell, 'status'> & { result?: string; reason?: string } {
  if ('error' in outcome) {
    const { error } = outcome;
    // What the matrix itself names wrongly is the row's or column's fault, not the machine's.
    const bad = error instanceof BuildError && error.code === 'bad_base';
    return { status: bad ? 'not-available' : 'internal-failure', reason: error.message };
  }
  switch (outcome.outcome) {
    case 'succeeded':
      return { status: 'good', result: outcome.id };
    case 'cancelled':
      return { status: 'internal-failure', reason: 'cancelled' };
    case 'failed': {
      const { ending, place } = outcome;
      const code = 'exitCode' in ending ? ending.exitCode : undefined;
      const status = code === undefined ? 'bad' : (statuses[String(code)] ?? 'bad');
      const how = code === undefined ? 'was ended' : `ended with ${code}`;
      return { status, reason: `step ${place.index} (${place.heading.split('\n')[0]}) ${how}` };
    }
  }
}
