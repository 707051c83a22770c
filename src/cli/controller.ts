import { Command } from 'commander';
import { clientFor, withConnection, type CommonOptions } from './options.ts';
import { printJson, printTable } from './output.ts';

export function command(): Command {
  const controller = new Command('controller').description('look at the controllers of the fleet');
  withConnection(controller.command('list'))
    .description('list those that live, and what each of them alone sees to')
    .action(list);
  return controller;
}

async function list(options: CommonOptions): Promise<void> {
  const { items } = await (await clientFor(options)).call('listControllers', {});
  if (options.json === true) return printJson(items);
  printTable(
    ['NAME', 'ID', 'HOSTS', 'SEES TO'],
    items.map(({ name, id, hosts, leases }) => [name, id, String(hosts), leases.join(', ')]),
  );
}
