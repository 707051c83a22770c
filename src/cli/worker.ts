import { Command } from 'commander';
import { clientFor, withConnection, type CommonOptions } from './options.ts';
import { ago, printJson, printTable } from './output.ts';
import { collectPages } from './pages.ts';

export function command(): Command {
  const worker = new Command('worker').description('look at workers');
  withConnection(worker.command('list'))
    .description('list workers')
    .option('--pool <pool>', 'only of this pool')
    .option('--all', 'also those destroyed within the last hour')
    .action(async (options: CommonOptions & { pool?: string; all?: boolean }) => {
      const client = await clientFor(options);
      const all = options.all === true ? 'true' : 'false';
      const { items } = await collectPages(Infinity, (page) =>
        client.call('listWorkers', { query: { ...page, pool: options.pool, all } }),
      );
      if (options.json === true) return printJson(items);
      printTable(
        ['ID', 'POOL', 'HOST', 'STATE', 'DRIVER', 'JOB', 'MADE', 'REASON'],
        items.map((each) => [
          each.id,
          each.pool,
          each.hostName,
          each.state,
          each.driver,
          each.jobId,
          ago(each.createdAt),
          each.reason,
        ]),
      );
    });
  return worker;
}
