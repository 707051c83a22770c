import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { UsageError } from './errors.ts';
import { clientFor, withConnection, type CommonOptions } from './options.ts';
import { ago, printJson, printTable } from './output.ts';

export function command(): Command {
  const secret = new Command('secret').description('secrets that jobs may use');
  withConnection(secret.command('set <name>'))
    .description('set a secret, read from standard input or a file, never from the command line')
    .option('--from-file <file>', 'read the value from a file')
    .addHelpText(
      'after',
      `
One line break at the end is not part of the value.

Examples:
  pomona secret set NPM_TOKEN < token.txt
  pomona run --secret NPM_TOKEN -- npm publish`,
    )
    .action(set);
  withConnection(secret.command('list'))
    .description("list secrets' names; values are never shown")
    .action(async (options: CommonOptions) => {
      const { items } = await (await clientFor(options)).call('listSecrets', {});
      if (options.json === true) return printJson(items);
      printTable(
        ['NAME', 'SET'],
        items.map(({ name, updatedAt }) => [name, ago(updatedAt)]),
      );
    });
  withConnection(secret.command('remove <name>'))
    .description('remove a secret')
    .action(async (name: string, options: CommonOptions) => {
      await (await clientFor(options)).call('removeSecret', { params: { name } });
    });
  return secret;
}

async function set(name: string, options: CommonOptions & { fromFile?: string }): Promise<void> {
  if (options.fromFile === undefined && process.stdin.isTTY) {
    throw new UsageError('give the value on standard input, or with --from-file');
  }
  const given =
    options.fromFile === undefined
      ? await text(process.stdin)
      : await readFile(options.fromFile, 'utf8');
  const value = given.replace(/\r?\n$/, '');
  if (value === '') throw new UsageError('the value is empty');
  await (await clientFor(options)).call('setSecret', { params: { name }, body: { value } });
}
