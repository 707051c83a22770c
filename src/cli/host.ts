import { Command } from 'commander';
import { TASK_WORDS } from '../domain/host-task.ts';
import { clientFor, durationOption, withConnection, type CommonOptions } from './options.ts';
import { ago, printJson, printTable, size } from './output.ts';
import { collectPages } from './pages.ts';

interface DrainOptions extends CommonOptions {
  readonly within?: number;
}

function drainCall(name: string, { within }: DrainOptions) {
  return { params: { name }, query: within === undefined ? {} : { within: String(within) } };
}

export function command(): Command {
  const host = new Command('host').description('look at hosts and take them in and out of use');
  withConnection(host.command('list')).description('list hosts').action(list);
  withConnection(host.command('cordon <name>'))
    .description('start nothing new on a host; its idle workers stay')
    .action(async (name: string, options: CommonOptions) => {
      const shown = await (await clientFor(options)).call('cordonHost', { params: { name } });
      if (options.json === true) return printJson(shown);
      process.stdout.write(`${name} takes no jobs; \`pomona host resume ${name}\` ends that\n`);
    });
  withConnection(host.command('drain <name>'))
    .description('let running jobs end and start nothing new on a host')
    .option('--within <duration>', 'end what still runs after this time', durationOption)
    .action(async (name: string, options: DrainOptions) => {
      const shown = await (await clientFor(options)).call('drainHost', drainCall(name, options));
      if (options.json === true) return printJson(shown);
      process.stdout.write(`${name} is draining; it has ${shown.workers} workers\n`);
    });
  withConnection(host.command('retire <name>'))
    .description('drain a host, and forget it when it is empty')
    .option('--within <duration>', 'end what still runs after this time', durationOption)
    .action(async (name: string, options: DrainOptions) => {
      const shown = await (await clientFor(options)).call('retireHost', drainCall(name, options));
      if (options.json === true) return printJson(shown);
      process.stdout.write(`${name} is retiring; it has ${shown.workers} workers\n`);
    });
  const tasks = [
    ['restart', 'restart the agent of a host; jobs go on'],
    ['clean', 'remove what was left on a host and belongs to no worker'],
    ['reboot', 'drain a host, reboot it, and let it take jobs again'],
    ['reimage', 'drain a host, install it anew, and let it take jobs again'],
  ] as const;
  for (const [kind, description] of tasks) {
    withConnection(host.command(`${kind} <name>`))
      .description(description)
      .option('--within <duration>', 'end what still runs there after this time', durationOption)
      .action(async (name: string, { within, ...options }: DrainOptions) => {
        const body = { kind, ...(within === undefined ? {} : { within }) };
        const client = await clientFor(options);
        const shown = await client.call('askHost', { params: { name }, body });
        if (options.json === true) return printJson(shown);
        const when = shown.task?.given === false ? ' once it is empty' : '';
        process.stdout.write(`${name} is to ${TASK_WORDS[kind]}${when}; \`pomona host list\`\n`);
      });
  }
  withConnection(host.command('quarantine <name>'))
    .description('leave a host alone until somebody resumes it; running jobs end')
    .option('--reason <text>', 'what is wrong with it', 'by hand')
    .action(async (name: string, options: CommonOptions & { reason: string }) => {
      const body = { reason: options.reason };
      const shown = await (
        await clientFor(options)
      ).call('quarantineHost', { params: { name }, body });
      if (options.json === true) return printJson(shown);
      process.stdout.write(`${name} is quarantined until \`pomona host resume ${name}\`\n`);
    });
  withConnection(host.command('resume <name>'))
    .description('let a host take jobs again, whatever kept it from them')
    .action(async (name: string, options: CommonOptions) => {
      const shown = await (await clientFor(options)).call('resumeHost', { params: { name } });
      if (options.json === true) return printJson(shown);
      process.stdout.write(`${name} takes jobs again\n`);
    });
  withConnection(host.command('remove <name>'))
    .description('forget a host that is gone; jobs it has are lost')
    .action(async (name: string, options: CommonOptions) => {
      await (await clientFor(options)).call('removeHost', { params: { name } });
      if (options.json !== true) process.stdout.write(`${name} is removed\n`);
    });
  return host;
}

async function list(options: CommonOptions): Promise<void> {
  const client = await clientFor(options);
  const { items } = await collectPages(Infinity, (query) => client.call('listHosts', { query }));
  if (options.json === true) return printJson(items);
  printTable(
    [
      'NAME',
      'STATE',
      'ONLINE',
      'WORKERS',
      'CAPACITY',
      'DISK FREE',
      'LAST SEEN',
      'LABELS',
      'REASON',
    ],
    items.map((each) => [
      each.name,
      each.state,
      each.online ? 'yes' : 'no',
      String(each.workers),
      each.facts?.capacity.workers.toString(),
      size(each.diskFreeBytes),
      ago(each.lastSeenAt),
      each.labels.join(','),
      each.stateReason ?? (each.task && `it is to ${TASK_WORDS[each.task.kind]}`),
    ]),
  );
}
