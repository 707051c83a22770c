import { Command } from 'commander';
import type { Builder } from '../builder/builder.ts';
import { durationOption, integerOption } from './options.ts';
import { parseSize } from '../protocol/values.ts';
import { STORE_HELP, withBuilder, withStore, type StoreOptions } from './build/open-builder.ts';
import { ExitError, UsageError } from './errors.ts';
import { writeOut } from './standard-output.ts';
import { ago, printJson, printTable, size } from './output.ts';

interface Options extends StoreOptions {
  readonly json?: boolean;
}

export function command(): Command {
  const store = new Command('store').description('look at, prune and check a store of builds');
  withStore(store.command('du'))
    .description('list results with the room they take, least lately used first')
    .option('--json', 'print JSON')
    .addHelpText('after', STORE_HELP)
    .action(du);
  withStore(store.command('prune'))
    .description('remove results that nothing needs, least lately used first')
    .option('--older <duration>', 'only what was not used for so long', durationOption, 0)
    .option('--keep-free <size|percent>', 'stop when so much is free, such as 50GiB or 30%')
    .option('--most <n>', 'remove at most so many', integerOption)
    .option('--dry-run', 'remove nothing; print what would go')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
What a build needs at the moment, or a pin names, stays, with all that it was made from.

Examples:
  pomona store prune --older 30d
  pomona store prune --keep-free 30%`,
    )
    .action(prune);
  withStore(store.command('verify'))
    .description('check that index and store agree and that every log is there')
    .option('--json', 'print JSON')
    .action(verify);
  withStore(store.command('gc'))
    .description('remove what no build left on purpose: orphans, old logs, unneeded caches')
    .option('--json', 'print JSON')
    .action(gc);
  withStore(store.command('log <id>'))
    .description('print the log of a step: of a result, or one that failed or is being made')
    .option('--offset <bytes>', 'begin there', integerOption, 0)
    .option('--follow', 'go on until the step is over')
    .addHelpText(
      'after',
      `
The beginning of an id will do. Where the log ended is printed last, to standard error, for --offset.

Examples:
  pomona store log 3fa04c
  pomona store log 3fa04c --follow --offset 4096`,
    )
    .action(log);
  withStore(store.command('pin <name> <id>'))
    .description('keep a result until it is unpinned; the beginning of an id will do')
    .action((name: string, id: string, options: Options) =>
      opened(options, async (builder) => builder.index.pin(name, findId(builder, id), Date.now())),
    );
  withStore(store.command('unpin <name>'))
    .description('take back a pin')
    .action((name: string, options: Options) =>
      opened(options, async (builder) => {
        if (builder.index.unpin(name)) return;
        const names = builder.index.pins().map((pin) => pin.name);
        throw new UsageError(`there is no pin ${name} (there are: ${names.join(', ') || 'none'})`);
      }),
    );
  withStore(store.command('doctor'))
    .description('say how the store is: room, results, caches, what goes on, what failed lately')
    .option('--json', 'print JSON')
    .action(doctor);
  return store;
}

async function opened(
  options: Options,
  work: (builder: Builder, storeText: string) => Promise<void>,
): Promise<void> {
  await withBuilder(options, new AbortController().signal, work);
}

async function log(
  text: string,
  options: Options & { readonly offset: number; readonly follow?: boolean },
): Promise<void> {
  const stop = new AbortController();
  const interrupted = () => stop.abort();
  process.once('SIGINT', interrupted);
  await opened(options, async (builder) => {
    const { index } = builder;
    const id = findId(builder, text, [...index.flights(), ...index.failures()]);
    const { offset, follow = false } = options;
    const end = await builder.readLog(id, { offset, follow, signal: stop.signal }, (chunk) =>
      writeOut(chunk),
    );
    process.stderr.write(`pomona: the log ends at ${end}\n`);
  });
  process.off('SIGINT', interrupted);
}

function findId(builder: Builder, text: string, more: readonly { id: string }[] = []): string {
  const ids = new Set([...builder.index.results(), ...more].map(({ id }) => id));
  const found = [...ids].filter((id) => id.startsWith(text));
  if (found.length === 1 && found[0] !== undefined) return found[0];
  const why = found.length === 0 ? 'no result has an id that begins' : 'several ids begin';
  throw new UsageError(`${why} with ${text}; \`pomona store du\` lists them`);
}

function du(options: Options): Promise<void> {
  return opened(options, async (builder, storeText) => {
    const rows = [];
    for (const row of builder.index.results()) {
      if (row.state !== 'ready') continue;
      const bytes = await builder.bytesOf(row);
      rows.push({
        ...{ id: row.id, parent: row.parent, heading: row.heading },
        bytes,
        usedAt: row.used_at,
      });
    }
    const space = await builder.diskSpace();
    if (options.json === true) return printJson({ store: storeText, ...space, results: rows });
    printTable(
      ['ID', 'SIZE', 'USED', 'STEP'],
      rows.map((row) => [row.id.slice(0, 14), size(row.bytes), ago(row.usedAt), row.heading]),
    );
    process.stdout.write(
      `${rows.length} results in ${storeText}; ${size(space.freeBytes)} of ${size(space.totalBytes)} free\n`,
    );
  });
}

interface PruneOptions extends Options {
  readonly older: number;
  readonly keepFree?: string;
  readonly most?: number;
  readonly dryRun?: boolean;
}

function prune(options: PruneOptions): Promise<void> {
  return opened(options, async (builder) => {
    const stop = new AbortController();
    const interrupted = () => stop.abort(new ExitError(130));
    process.once('SIGINT', interrupted);
    const untilFreeBytes = freeBytes(options.keepFree, (await builder.diskSpace()).totalBytes);
    const ids: string[] = [];
    const { removed, failed } = await builder.prune({
      usedBefore: Date.now() - options.older,
      ...(untilFreeBytes === undefined ? {} : { untilFreeBytes }),
      ...(options.most === undefined ? {} : { most: options.most }),
      dryRun: options.dryRun === true,
      signal: stop.signal,
      onRemoved(row) {
        ids.push(row.id);
        if (options.json !== true) process.stdout.write(`${row.id.slice(0, 14)} ${row.heading}\n`);
      },
    });
    process.off('SIGINT', interrupted);
    if (options.json === true) printJson({ removed: ids, failed, dryRun: options.dryRun === true });
    else {
      const verb = options.dryRun === true ? 'would be removed' : 'removed';
      process.stdout.write(`${removed} results ${verb}\n`);
      for (const { id, reason } of failed) process.stderr.write(`pomona: ${id}: ${reason}\n`);
    }
    if (failed.length > 0) throw new ExitError(1);
  });
}

function freeBytes(text: string | undefined, total: number): number | undefined {
  if (text === undefined) return undefined;
  const percent = /^(\d{1,2})%$/.exec(text)?.[1];
  const bytes = percent === undefined ? parseSize(text) : (total * Number(percent)) / 100;
  if (bytes !== undefined) return bytes;
  throw new UsageError(
    `--keep-free expects a size such as 50GiB or a share such as 30%, not ${text}`,
  );
}

function verify(options: Options): Promise<void> {
  return opened(options, async (builder) => {
    const problems = await builder.verify();
    if (options.json === true) printJson({ problems });
    else if (problems.length === 0) process.stdout.write('Index and store agree\n');
    for (const { what, remedy } of options.json === true ? [] : problems) {
      process.stderr.write(`pomona: ${what}; ${remedy}\n`);
    }
    if (problems.length > 0) throw new ExitError(1);
  });
}

function gc(options: Options): Promise<void> {
  return opened(options, async (builder) => {
    const removed = await builder.collectGarbage();
    if (options.json === true) return printJson({ removed });
    for (const what of removed) process.stdout.write(`${what}\n`);
    process.stdout.write(`${removed.length} things removed\n`);
  });
}

function doctor(options: Options): Promise<void> {
  return opened(options, async (builder, storeText) => {
    const { index } = builder;
    const state = {
      store: storeText,
      ...(await builder.diskSpace()),
      results: index.countResults(),
      caches: index.caches().map(({ name, used_at: usedAt }) => ({ name, usedAt })),
      pins: index.pins(),
      inFlight: index.flights().map(({ id, log }) => ({ id, log: builder.logPath(log) })),
      failures: index
        .failures()
        .slice(0, 10)
        .map(({ heading, at, log }) => ({ heading, at, log: builder.logPath(log) })),
      problems: await builder.verify(),
    };
    if (options.json === true) return printJson(state);
    printTable(
      ['WHAT', 'NOW'],
      [
        ['store', state.store],
        ['free', `${size(state.freeBytes)} of ${size(state.totalBytes)}`],
        ['results', String(state.results)],
        ['caches', state.caches.map(({ name }) => name).join(', ') || 'none'],
        ['pins', state.pins.map(({ name }) => name).join(', ') || 'none'],
        ['steps being made', String(state.inFlight.length)],
        ['problems', state.problems.map(({ what }) => what).join('; ') || 'none'],
      ],
    );
    for (const { heading, at, log } of state.failures) {
      process.stdout.write(`failed ${ago(at)}: ${heading}\n  ${log}\n`);
    }
  });
}
