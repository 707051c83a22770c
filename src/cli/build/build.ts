import { dirname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { ExitError, UsageError } from '../errors.ts';
import { collect, durationOption, integerOption } from '../options.ts';
import { writeOut } from '../standard-output.ts';
import { Interruption } from './interruption.ts';
import { buildMatrix } from './matrix.ts';
import { STORE_HELP, withBuilder, withStore, type StoreOptions } from './open-builder.ts';
import { jsonPrinter, PlainPrinter, type BuildPrinter } from './progress.ts';
import { readSecrets } from './read-secrets.ts';
import { readSpec } from './read-spec.ts';
import { buildRemotely } from './remote.ts';

interface BuildOptions extends StoreOptions {
  readonly secret: string[];
  readonly cache: boolean;
  readonly untrusted?: boolean;
  readonly pin?: string;
  readonly matrix?: string;
  readonly report?: string;
  readonly compare?: string;
  readonly parallel?: number;
  readonly remote?: boolean;
  readonly pool?: string;
  readonly label: string[];
  readonly timeout?: number;
  readonly json?: boolean;
  readonly log?: 'plain' | 'tty';
}

export function command(): Command {
  return withStore(new Command('build'))
    .description('build a spec, each step once')
    .argument('[file]', 'the spec, as OBuilder has them or YAML; `-`: standard input')
    .argument('[dir]', 'the context of `copy` (default: the directory of the file)')
    .option('--matrix <file>', 'build a matrix of specs instead; then the one argument is DIR')
    .option('--report <dir>', 'with --matrix: where the report goes (default: NAME-report)')
    .option('--compare <report.json>', 'with --matrix: an earlier run to compare with')
    .option('--parallel <n>', 'with --matrix: builds at once (default: CPUs)', integerOption)
    .option('--sandbox <name>', 'what steps run in (default: the best that works)')
    .option(
      '--secret <id=file>',
      'a secret for steps that ask for it; may be repeated',
      collect,
      [],
    )
    .option('--no-cache', 'make every step anew')
    .option('--untrusted', 'keep what this build makes from trusted builds')
    .option('--pin <name>', 'keep the result under this name until it is unpinned')
    .option('--remote', 'build on a host of the fleet that has most of it already')
    .option('--pool <pool>', 'with --remote: the pool (default: any of the kind build)')
    .option('--label <label>', 'with --remote: a label its pool must have', collect, [])
    .option('--timeout <duration>', 'with --remote: end it after this time', durationOption)
    .option('--json', 'print one JSON object a line: each event, then the result')
    .addOption(new Option('--log <how>', 'how to print').choices(['plain', 'tty']))
    .addHelpText(
      'after',
      `
Each step that was made before, over the same base with the same content, is taken from the store
and its log printed again. A build that was interrupted, even killed, goes on where it was. Equal
steps of builds at the same time are made once.
${STORE_HELP}

A matrix names a spec with \${{ variables }}, rows (such as packages) and columns (such as compilers);
every row is built on every column, and what they have in common once.

With --remote the build is a job of the fleet (POMONA_URL, or --data of a controller here): DIR is
sent, without what .gitignore leaves out, to the host that has the longest beginning of it, and what
that makes stays there for the next. --store is then only the kind of store, such as btrfs, and
--secret ID=NAME takes the secret NAME of the fleet. Bases come from registries, images of the host,
and ./ of DIR.

It ends with 0, or with 1 when a step failed, or with --compare when a cell
that was good is not any more; 130 when it was interrupted.

Examples:
  pomona build app.spec
  pomona build app.yaml src --secret token=token.txt --pin app
  pomona build --remote app.spec . --secret token=NPM_TOKEN
  pomona build --matrix health.yaml --compare last/report.json
  pomona build --store btrfs:/builds --json app.spec | jq .`,
    )
    .action(build);
}

async function build(
  file: string | undefined,
  dir: string | undefined,
  options: BuildOptions,
): Promise<void> {
  if (options.remote === true) return remote(file, dir, options);
  const secrets = await readSecrets(options.secret);
  const { matrix } = options;
  if (matrix !== undefined) {
    if (dir !== undefined) throw new UsageError('with --matrix only DIR is expected, not FILE DIR');
    return buildMatrix(file, secrets, { ...options, matrix });
  }
  if (file === undefined)
    throw new UsageError('expected FILE, the spec to build; or --matrix FILE');
  const parsed = await readSpec(file);
  const contextDir = contextOf(file, dir);
  const printer = printerFor(options);
  const stop = new Interruption();
  try {
    await withBuilder({ ...options, contextDir }, stop.again, async (builder) => {
      stop.builder = builder;
      const begun = performance.now();
      const outcome = await builder.build({
        ...{ parsed, contextDir, secrets },
        trust: options.untrusted === true ? 'untrusted' : 'trusted',
        noCache: !options.cache,
        signal: stop.once,
        onEvent: (event) => printer.event(event),
      });
      if (outcome.outcome === 'succeeded') {
        if (options.pin !== undefined) builder.index.pin(options.pin, outcome.id, Date.now());
        await builder.flush();
      }
      printer.outcome(outcome, performance.now() - begun);
      if (outcome.outcome === 'failed') throw new ExitError(1);
      if (outcome.outcome === 'cancelled') throw new ExitError(130);
    });
  } finally {
    stop.end();
  }
}

function contextOf(file: string, dir: string | undefined): string {
  return resolve(dir ?? (file === '-' ? '.' : dirname(file)));
}

async function remote(
  file: string | undefined,
  dir: string | undefined,
  options: BuildOptions,
): Promise<void> {
  if (file === undefined) throw new UsageError('expected FILE, the spec to build');
  for (const name of ['matrix', 'pin', 'sandbox'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} does not go with --remote`);
  }
  return buildRemotely(file, contextOf(file, dir), options);
}

function printerFor({ json, log }: BuildOptions): BuildPrinter {
  if (json === true) return jsonPrinter(writeOut);
  const colours = log === undefined ? process.stdout.isTTY : log === 'tty';
  return new PlainPrinter(writeOut, colours);
}
