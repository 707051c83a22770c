import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { Command, Option } from 'commander';
import { parseSpec, type ParsedSpec } from '../../builder/spec/parse.ts';
import { ExitError, UsageError } from '../errors.ts';
import { collect, integerOption } from '../options.ts';
import { writeOut } from '../standard-output.ts';
import { Interruption } from './interruption.ts';
import { buildMatrix } from './matrix.ts';
import { STORE_HELP, withBuilder, withStore, type StoreOptions } from './open-builder.ts';
import { jsonPrinter, PlainPrinter, type BuildPrinter } from './progress.ts';

interface BuildOptions extends StoreOptions {
  readonly secret: string[];
  readonly cache: boolean;
  readonly untrusted?: boolean;
  readonly pin?: string;
  readonly matrix?: string;
  readonly report?: string;
  readonly compare?: string;
  readonly parallel?: number;
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

It ends with 0, or with 1 when a step failed, or with --compare when a cell
that was good is not any more; 130 when it was interrupted.

Examples:
  pomona build app.spec
  pomona build app.yaml src --secret token=token.txt --pin app
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
  const secrets = await readSecrets(options.secret);
  const { matrix } = options;
  if (matrix !== undefined) {
    if (dir !== undefined) throw new UsageError('with --matrix only DIR is expected, not FILE DIR');
    return buildMatrix(file, secrets, { ...options, matrix });
  }
  if (file === undefined)
    throw new UsageError('expected FILE, the spec to build; or --matrix FILE');
  const parsed = await readSpec(file);
  const contextDir = resolve(dir ?? (file === '-' ? '.' : dirname(file)));
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

export async function readSpec(file: string): Promise<ParsedSpec> {
  if (file === '-') return parseSpec(await text(process.stdin), 'standard input');
  let content: string;
  try {
    content = await readFile(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return parseSpec(content, file);
}

/** `ID=FILE`, each file read whole. */
export async function readSecrets(given: readonly string[]): Promise<Map<string, Buffer>> {
  const secrets = new Map<string, Buffer>();
  for (const each of given) {
    const at = each.indexOf('=');
    if (at < 1) throw new UsageError(`--secret expects ID=FILE, not ${each}`);
    const [id, file] = [each.slice(0, at), each.slice(at + 1)];
    try {
      secrets.set(id, await readFile(file));
    } catch (cause) {
      throw new UsageError(`secret ${id}: ${file} cannot be read`, { cause });
    }
  }
  return secrets;
}

function printerFor({ json, log }: BuildOptions): BuildPrinter {
  if (json === true) return jsonPrinter(writeOut);
  const colours = log === undefined ? process.stdout.isTTY : log === 'tty';
  return new PlainPrinter(writeOut, colours);
}
