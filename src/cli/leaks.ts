import { Command } from 'commander';
import { clientFor, withConnection, type CommonOptions } from './options.ts';
import { ago, printJson, printTable } from './output.ts';

export function command(): Command {
  return withConnection(new Command('leaks'))
    .description('show what was left behind: owned names that belong to nothing')
    .addHelpText(
      'after',
      `
Hosts look for machines, clones and volumes, integrations for runners, and the controller for logs and artifacts.
Only what carries the fleet's own name is looked at. What is found is removed after ten minutes by
whoever found it; \`pomona host clean NAME\` does so at once on a host.

Examples:
  pomona leaks
  pomona leaks --json`,
    )
    .action(list);
}

async function list(options: CommonOptions): Promise<void> {
  const { items } = await (await clientFor(options)).call('listLeaks', {});
  if (options.json === true) return printJson(items);
  if (items.length === 0) {
    process.stdout.write('Nothing was left behind\n');
    return;
  }
  printTable(
    ['WHERE', 'WHAT', 'NAME', 'SEEN', 'REMOVED'],
    items.map(({ where, kind, name, since, removedAt, problem }) => [
      ...[where, kind, name, ago(since)],
      problem === undefined ? new Date(removedAt).toISOString() : `cannot be: ${problem}`,
    ]),
  );
}
