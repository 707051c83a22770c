import { writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { obuilderIds } from '../builder/keys/obuilder-ids.ts';
import { specToDockerfile } from '../builder/spec/dockerfile.ts';
import type { SpecForm } from '../builder/spec/parse.ts';
import type { Spec } from '../builder/spec/spec.ts';
import { specToSexp } from '../builder/spec/to-sexp.ts';
import { specToYaml } from '../builder/spec/to-yaml.ts';
import { readSecrets } from './build/read-secrets.ts';
import { readSpec } from './build/read-spec.ts';
import { ExitError, UsageError } from './errors.ts';
import { collect } from './options.ts';
import { printJson, printTable } from './output.ts';

export function command(): Command {
  const spec = new Command('spec').description('check, format and convert build specs');
  spec
    .command('check <file...>')
    .description('check specs; each problem is told with file, line and column')
    .option('--json', 'print the specs as they are understood')
    .addHelpText('after', '\nExample:\n  pomona spec check ci/*.spec')
    .action(check);
  spec
    .command('fmt <file...>')
    .description('write specs in their usual form, in place')
    .option('--check', 'change nothing; end with 1 if any is not in that form')
    .addHelpText(
      'after',
      '\nComments of the file are lost; (comment TEXT) stays.\n\nExample:\n  pomona spec fmt app.spec',
    )
    .action(format);
  spec
    .command('convert <file>')
    .description('print a spec in the other form: S-expressions as YAML, YAML as S-expressions')
    .addOption(new Option('--to <form>', 'the form to print').choices(['sexp', 'yaml']))
    .addHelpText('after', '\nExample:\n  pomona spec convert app.spec > app.yaml')
    .action(async (file: string, options: { to?: SpecForm }) => {
      const parsed = await readSpec(file);
      const to = options.to ?? (parsed.form === 'sexp' ? 'yaml' : 'sexp');
      process.stdout.write(WRITERS[to](parsed.spec));
    });
  spec
    .command('dockerfile <file>')
    .description('print a spec as a Dockerfile')
    .option('--no-buildkit', 'without what only BuildKit understands')
    .addHelpText(
      'after',
      '\nWhat the Dockerfile cannot say is told on standard error.\n\nExample:\n  pomona spec dockerfile app.spec > Dockerfile',
    )
    .action(async (file: string, options: { buildkit: boolean }) => {
      const { spec: parsed } = await readSpec(file);
      const { text, left } = specToDockerfile(parsed, options);
      process.stdout.write(text);
      for (const each of left) process.stderr.write(`pomona: ${each}\n`);
    });
  spec
    .command('ids <file> [dir]')
    .description('print the ids that OBuilder gives the results of a spec')
    .requiredOption('--obuilder', 'OBuilder’s own ids')
    .option('--env <k=v>', 'a variable of the base; may be repeated', collect, [])
    .option('--secret <id=file>', 'a secret; may be repeated', collect, [])
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExample:\n  pomona spec ids --obuilder app.spec --env PATH=/usr/bin:/bin',
    )
    .action(ids);
  return spec;
}

const WRITERS: Readonly<Record<SpecForm, (spec: Spec) => string>> = {
  sexp: specToSexp,
  yaml: specToYaml,
};

async function check(files: readonly string[], options: { json?: boolean }): Promise<void> {
  const specs: { file: string; spec: Spec }[] = [];
  let wrong = 0;
  for (const file of files) {
    try {
      specs.push({ file, spec: (await readSpec(file)).spec });
      if (options.json !== true) process.stdout.write(`${file} is right\n`);
    } catch (error) {
      wrong += 1;
      process.stderr.write(`pomona: ${(error as Error).message}\n`);
    }
  }
  if (options.json === true) printJson(specs);
  if (wrong > 0) throw new ExitError(1);
}

async function format(files: readonly string[], options: { check?: boolean }): Promise<void> {
  let different = 0;
  for (const file of files) {
    if (file === '-') throw new UsageError('fmt writes in place; use `convert --to` for a pipe');
    const { spec, form, text } = await readSpec(file);
    const formatted = WRITERS[form](spec);
    if (formatted === text) continue;
    different += 1;
    process.stdout.write(`${file}${options.check === true ? ' is not in its usual form' : ''}\n`);
    if (options.check !== true) await writeFile(file, formatted);
  }
  if (options.check === true && different > 0) throw new ExitError(1);
}

async function ids(
  file: string,
  dir: string | undefined,
  options: { env: string[]; secret: string[]; json?: boolean },
): Promise<void> {
  const { spec } = await readSpec(file);
  const given = await readSecrets(options.secret);
  const found = await obuilderIds(spec, {
    root: resolve(dir ?? dirname(file)),
    env: Object.fromEntries(options.env.map(variable)),
    secrets: new Map([...given].map(([id, value]) => [id, value.toString('utf8')])),
    signal: new AbortController().signal,
  });
  if (options.json === true) return printJson(found);
  printTable(
    ['ID', 'BUILD', 'STEP'],
    found.map(({ id, build, step }) => [id ?? 'known only after the build', build.join('/'), step]),
  );
}

function variable(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`--env expects NAME=VALUE, not ${text}`);
  return [text.slice(0, at), text.slice(at + 1)];
}
