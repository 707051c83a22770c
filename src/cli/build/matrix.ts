import { cpus } from 'node:os';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { compareReports, type Change } from '../../builder/matrix/compare.ts';
import { loadMatrix } from '../../builder/matrix/load-matrix.ts';
import { renderHtml } from '../../builder/matrix/render-html.ts';
import { renderText } from '../../builder/matrix/render-text.ts';
import { reportSchema, type Report } from '../../builder/matrix/report.ts';
import { runMatrix } from '../../builder/matrix/run-matrix.ts';
import { systemClock } from '../../platform/clock.ts';
import { ExitError, UsageError } from '../errors.ts';
import { printJson, span } from '../output.ts';
import { Interruption } from './interruption.ts';
import { withBuilder, type StoreOptions } from './open-builder.ts';

export interface MatrixOptions extends StoreOptions {
  readonly matrix: string;
  readonly report?: string;
  readonly compare?: string;
  readonly parallel?: number;
  readonly untrusted?: boolean;
  readonly json?: boolean;
}

/** Builds a matrix, prints its table and writes its report. */
export async function buildMatrix(
  dir: string | undefined,
  secrets: ReadonlyMap<string, Buffer>,
  options: MatrixOptions,
): Promise<void> {
  const loaded = await loadMatrix(options.matrix);
  const before = options.compare === undefined ? undefined : await readReport(options.compare);
  const contextDir = resolve(dir ?? dirname(options.matrix));
  const reportDir = resolve(options.report ?? `${loaded.matrix.name}-report`);
  const parallel = options.parallel ?? loaded.matrix.parallel ?? cpus().length;
  if (parallel < 1) throw new UsageError(`--parallel expects at least 1, not ${parallel}`);
  const stop = new Interruption();
  try {
    await withBuilder({ ...options, contextDir }, stop.again, async (builder) => {
      stop.builder = builder;
      const report = await runMatrix({
        ...{ loaded, contextDir, secrets, parallel, dir: reportDir, signal: stop.once },
        trust: options.untrusted === true ? 'untrusted' : 'trusted',
        build: (request) => builder.build(request),
        now: () => systemClock.now(),
        onCell({ row, column, status, durationMs }, done, of) {
          process.stderr.write(
            `${done}/${of} ${row} on ${column}: ${status}, ${span(durationMs)}\n`,
          );
        },
      });
      await builder.flush();
      const changes = before === undefined ? undefined : compareReports(before, report);
      await writeReport(reportDir, report, changes);
      if (options.json === true) printJson({ ...report, ...(changes ? { changes } : {}) });
      else {
        process.stdout.write(renderText(report, changes, process.stdout.isTTY));
        process.stdout.write(`\nThe report: ${join(reportDir, 'index.html')}\n`);
      }
      if (changes?.some(({ kind }) => kind === 'broken') === true) throw new ExitError(1);
    });
  } catch (error) {
    if (!stop.once.aborted) throw error;
    throw new ExitError(130, 'interrupted; the same command goes on from here');
  } finally {
    stop.end();
  }
}

async function readReport(file: string): Promise<Report> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new UsageError(`--compare: ${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  const parsed = reportSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UsageError(
    `--compare: ${file} is no report of a matrix (report.json of an earlier run)`,
  );
}

async function writeReport(
  dir: string,
  report: Report,
  changes: readonly Change[] | undefined,
): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'report.json'), `${JSON.stringify(report, undefined, 2)}\n`);
  await writeFile(join(dir, 'index.html'), renderHtml(report, changes));
}
