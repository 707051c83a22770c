import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { Command, Option } from 'commander';
import type { Builder } from '../../builder/builder.ts';
import { parseSpec, type ParsedSpec } from '../../builder/spec/parse.ts';
import { ExitError, UsageError } from '../errors.ts';
import { collect } from '../options.ts';
import { whenReaderLeaves, writeOut } from '../standard-output.ts';
import { STORE_HELP, withBuilder, withStore, type StoreOptions } from './open-builder.ts';
import { jsonPrinter, PlainPrinter, type BuildPrinter } from './progress.ts';

interface BuildOptions extends StoreOptions {
  readonly secret: string[];
  readonly cache: boolean;
  readonly untrusted?: boolean;
  readonly pin?: string;
  readonly json?: boolean;
  readonly log?: 'plain' | 'tty';
}

export function command(): Command {
  return withStore(new Command('build'))
    .description('build a spec, each step once')
    .argument(
      '<file>',
      'the spec: S-expressions as OBuilder has them, or YAML; `-`: standard input',
    )
    .argument('[dir]', 'the context of `copy` (default: the directory of the file)')
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

It ends with 0, or with 1 when a step failed; 130 when it was interrupted.

Examples:
  pomona build app.spec
  pomona build app.yaml src --secret token=token.txt --pin app
  pomona build --store btrfs:/builds --json app.spec | jq .`,
    )
    .action(build);
}

async function build(file: string, dir: string | undefined, options: BuildOptions): Promise<void> {
  const parsed = await readSpec(file);
  const secrets = await readSecrets(options.secret);
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

/** The first Ctrl-C ends this build, the second also what others wait for. */
class Interruption {
  readonly #once = new AbortController();
  readonly #again = new AbortController();
  builder: Builder | undefined;
  readonly #listener = () => {
    if (this.#once.signal.aborted) this.#again.abort();
    this.#once.abort();
    void this.builder?.waitedFor().then((waited) => {
      if (!waited || this.#again.signal.aborted) return;
      process.stderr.write(
        'pomona: others wait for this step, which goes on; Ctrl-C again ends it\n',
      );
    });
  };

  constructor() {
    process.on('SIGINT', this.#listener).on('SIGTERM', this.#listener);
    whenReaderLeaves(this.#listener);
  }

  get once(): AbortSignal {
    return this.#once.signal;
  }

  get again(): AbortSignal {
    return this.#again.signal;
  }

  end(): void {
    process.off('SIGINT', this.#listener).off('SIGTERM', this.#listener);
  }
}
