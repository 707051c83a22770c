import type { Command } from 'commander';
import type { HostRolloutKind } from '../domain/host-rollout.ts';
import type { HostRolloutView } from '../protocol/api/host-resources.ts';
import {
  clientFor,
  collect,
  durationOption,
  integerOption,
  sharesOption,
  withConnection,
  type CommonOptions,
} from './options.ts';
import { ago, printJson, printTable } from './output.ts';
import { UsageError } from './errors.ts';

interface StartOptions extends CommonOptions {
  readonly hostLabel: string[];
  readonly rings?: number[];
  readonly atOnce?: number;
  readonly soak?: number;
  readonly within?: number;
}

interface SettingsOptions extends StartOptions {
  readonly label?: string[];
  readonly workers?: number;
  readonly macosVms?: number;
}

const HOW = `
One host gets it first, then rings of more hosts, a few at once: each is emptied, gets it, and takes jobs
again. A ring is watched for a while before the next begins. When more than one of twenty hosts cannot, or
jobs fail more often on hosts that have it (Fisher's exact test at 1 %, three failures at least), it goes back
everywhere by itself; \`rollout list\` and the events say why. Hosts that are away get it when they are back.
`;

/** The commands \`rollout agent\` and \`rollout settings\`. */
export function addHostRollouts(rollout: Command): void {
  const agent = rollout.command('agent').description('bring a version of the agent to hosts');
  withStart(agent.command('start <version>'))
    .description('update the agents of hosts, ring by ring')
    .addHelpText(
      'after',
      `${HOW}
The agents run their --update-command with the version in $POMONA_VERSION. A version that does not start, or
that no controller takes in within five minutes, is replaced by the one before.

Examples:
  pomona rollout agent start 1.4.0
  pomona rollout agent start 1.4.0 --rings 1,25 --at-once 20 --soak 1h --within 2h`,
    )
    .action((version: string, options: StartOptions) => start('agent', options, { version }));
  addMoves(agent, 'agent');

  const settings = rollout.command('settings').description('bring settings to hosts');
  withStart(settings.command('start'))
    .description('give hosts other settings, ring by ring')
    .option('--label <label>', 'labels of the hosts, all of them; may be repeated', collect)
    .option('--workers <n>', 'workers at once', integerOption)
    .option('--macos-vms <n>', 'macOS VMs at once', integerOption)
    .addHelpText(
      'after',
      `${HOW}
They take the place of the options of the same names that the agents were started with, and of settings that
were brought before. Without any, hosts have what their agents were started with.

Examples:
  pomona rollout settings start --host-label m2 --workers 3 --label m2 --label xcode-17
  pomona rollout settings back`,
    )
    .action((options: SettingsOptions) => {
      const { label: labels, workers, macosVms } = options;
      const given = {
        ...(labels === undefined ? {} : { labels }),
        ...(workers === undefined ? {} : { workers }),
        ...(macosVms === undefined ? {} : { macosVms }),
      };
      return start('settings', options, { settings: given });
    });
  addMoves(settings, 'settings');
}

function withStart(command: Command): Command {
  return withConnection(command)
    .option('--host-label <label>', 'only hosts with this label; may be repeated', collect, [])
    .option('--rings <shares>', 'shares of the hosts in per cent (default: 1,10,50)', sharesOption)
    .option('--at-once <n>', 'hosts at work at once (default: 5)', integerOption)
    .option('--soak <duration>', 'watch a ring for so long (default: 10m)', durationOption)
    .option('--within <duration>', 'end what runs on a host after this time', durationOption);
}

function addMoves(command: Command, what: HostRolloutKind): void {
  const moves = [
    ['pause', 'ask no more hosts'],
    ['resume', 'go on'],
    ['promote', 'let all hosts get it without waiting for rings'],
    ['back', 'go back on all hosts'],
  ] as const;
  for (const [move, description] of moves) {
    withConnection(command.command(move))
      .description(description)
      .action(async (options: CommonOptions) => {
        const client = await clientFor(options);
        told(options, await client.call('moveHostRollout', { params: { what }, body: { move } }));
      });
  }
  withConnection(command.command('remove'))
    .description('forget it; hosts stay as they are')
    .action(async (options: CommonOptions) => {
      await (await clientFor(options)).call('removeHostRollout', { params: { what } });
      if (options.json !== true) process.stdout.write(`the roll-out of ${what} is forgotten\n`);
    });
}

async function start(
  what: HostRolloutKind,
  options: StartOptions,
  order: { readonly version: string } | { readonly settings: object },
): Promise<void> {
  if ('settings' in order && options.hostLabel.length === 0 && 'labels' in order.settings) {
    throw new UsageError('--label gives the same labels to all hosts; say which by --host-label');
  }
  const body = {
    ...order,
    ...(options.hostLabel.length === 0 ? {} : { labels: options.hostLabel }),
    ...(options.rings === undefined ? {} : { rings: options.rings }),
    ...(options.atOnce === undefined ? {} : { atOnce: options.atOnce }),
    ...(options.soak === undefined ? {} : { soak: options.soak }),
    ...(options.within === undefined ? {} : { within: options.within }),
  };
  const client = await clientFor(options);
  told(options, await client.call('startHostRollout', { params: { what }, body }));
}

function told(options: CommonOptions, view: HostRolloutView): void {
  if (options.json === true) return printJson(view);
  const { what, value, state, hosts, reason } = view;
  const done = hosts.filter((host) => host.state === 'done').length;
  const why = reason === undefined ? '' : ` (${reason})`;
  process.stdout.write(
    `${what} ${value}: ${state}${why}; ${done} of ${hosts.length} hosts have it; \`pomona rollout list\`\n`,
  );
}

/** What \`rollout list\` shows of them. */
export function printHostRollouts(views: readonly HostRolloutView[]): void {
  printTable(
    ['WHAT', 'TO', 'STATE', 'RING', 'HOSTS', 'DONE', 'DOING', 'FAILED', 'SINCE', 'REASON'],
    views.map((view) => {
      const count = (...states: string[]) =>
        String(view.hosts.filter(({ state }) => states.includes(state)).length);
      const share = view.rings[view.ring] ?? 100;
      return [
        ...[view.what, view.value, view.state],
        ...[`${view.ring + 1} of ${view.rings.length} (${share} %)`, String(view.hosts.length)],
        ...[count('done'), count('doing', 'returning'), count('failed'), ago(view.startedAt)],
        view.reason ?? view.hosts.find(({ detail }) => detail !== undefined)?.detail ?? '',
      ];
    }),
  );
}
