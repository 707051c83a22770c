import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { loadPools } from '../protocol/config/load.ts';
import { clientFor, withConnection, type CommonOptions } from './options.ts';
import { printJson, printTable } from './output.ts';

export function command(): Command {
  const pool = new Command('pool').description('look at pools and change them');
  withConnection(pool.command('list')).description('list pools').action(list);
  withConnection(pool.command('apply'))
    .description('create or change the pools of a file')
    .requiredOption(
      '-f, --file <file>',
      'YAML or JSON: one pool, a list, or `pools:`; - for standard input',
    )
    .addHelpText(
      'after',
      `
Example of a file:
  name: mac
  labels: [macos-15]
  ready: 2
  limits: {memory: 8GiB}
  timeout: 30m`,
    )
    .action(apply);
  withConnection(pool.command('remove <name>'))
    .description('remove a pool that was applied')
    .action(async (name: string, options: CommonOptions) => {
      await (await clientFor(options)).call('removePool', { params: { name } });
      if (options.json !== true) process.stdout.write(`${name} is removed\n`);
    });
  return pool;
}

async function list(options: CommonOptions): Promise<void> {
  const { items } = await (await clientFor(options)).call('listPools', {});
  if (options.json === true) return printJson(items);
  printTable(
    ['NAME', 'FROM', 'IMAGE', 'READY', 'MAX', 'WAITING JOBS', 'WORKERS', 'LABELS'],
    items.map(({ spec, origin, image, queued, counts }) => [
      spec.name,
      origin,
      image,
      `${counts.ready}/${spec.ready}`,
      String(spec.max),
      String(queued),
      Object.entries(counts)
        .filter(([, count]) => count > 0)
        .map(([state, count]) => `${count} ${state}`)
        .join(', ') || '-',
      spec.labels.join(','),
    ]),
  );
}

async function apply(options: CommonOptions & { file: string }): Promise<void> {
  const content =
    options.file === '-' ? await text(process.stdin) : await readFile(options.file, 'utf8');
  const pools = loadPools(content, options.file === '-' ? 'standard input' : options.file);
  const client = await clientFor(options);
  const applied = [];
  for (const body of pools) {
    applied.push(await client.call('applyPool', { params: { name: body.name }, body }));
    if (options.json !== true) process.stdout.write(`${body.name} is applied\n`);
  }
  if (options.json === true) printJson(applied);
}
