import { Command } from 'commander';
import type { RolloutView } from '../protocol/api/resources.ts';
import { addHostRollouts, printHostRollouts } from './host-rollout.ts';
import {
  clientFor,
  integerOption,
  sharesOption,
  withConnection,
  type CommonOptions,
} from './options.ts';
import { ago, printJson, printTable } from './output.ts';

interface StartOptions extends CommonOptions {
  readonly stages?: number[];
  readonly jobs?: number;
}

const SAID = {
  running: ({ share, to }: RolloutView) => `${share} % of its new workers are made from ${to}`,
  paused: ({ to }: RolloutView) => `no more workers are made from ${to}`,
  done: ({ to }: RolloutView) => `all its new workers are made from ${to}`,
  back: ({ from }: RolloutView) => `all its new workers are made from ${from} again`,
} as const;

export function command(): Command {
  const rollout = new Command('rollout').description(
    'let new images take over pools, and agents and settings hosts, by stages',
  );
  withConnection(rollout.command('start <pool> <image>'))
    .description('make a share of the workers of a pool from a new image, and more by and by')
    .option(
      '--stages <shares>',
      'shares of the new workers in per cent (default: 10,50)',
      sharesOption,
    )
    .option('--jobs <n>', 'jobs that end on it in each stage (default: 20)', integerOption)
    .addHelpText(
      'after',
      `
The first stage makes 10 of 100 new workers from IMAGE. When 20 jobs have ended on it, the next
begins, and after the last one all workers are made from it, until the pool itself names another
image. Hosts that bring images by themselves (--image-remote) bring this one, too; where a host has it not,
the old one is used.

It goes back by itself when workers made from it fail, or jobs on it, more often than on the old image by
more than accident (Fisher's exact test at 5 %, three failures at least). \`rollout list\` and the events
say why.

Examples:
  pomona rollout start macs xcode-16:2026-11-21-093000
  pomona rollout start macs xcode-17 --stages 5,25,50 --jobs 50
  pomona rollout list`,
    )
    .action(async (pool: string, image: string, options: StartOptions) => {
      const { stages } = options;
      const body = {
        image,
        ...(stages === undefined ? {} : { stages }),
        ...(options.jobs === undefined ? {} : { trials: options.jobs }),
      };
      const client = await clientFor(options);
      told(options, await client.call('startRollout', { params: { pool }, body }));
    });
  withConnection(rollout.command('list')).description('list roll-outs').action(list);
  const moves = [
    ['pause', 'pauseRollout', 'make no more workers from the new image'],
    ['resume', 'resumeRollout', 'go on; from the beginning if it went back'],
    ['promote', 'promoteRollout', 'let the new image take over at once'],
    ['back', 'backRollout', 'go back to the old image'],
  ] as const;
  for (const [name, route, description] of moves) {
    withConnection(rollout.command(`${name} <pool>`))
      .description(description)
      .action(async (pool: string, options: CommonOptions) => {
        told(options, await (await clientFor(options)).call(route, { params: { pool } }));
      });
  }
  withConnection(rollout.command('remove <pool>'))
    .description('forget a roll-out: the pool is made from the image that it names')
    .action(async (pool: string, options: CommonOptions) => {
      await (await clientFor(options)).call('removeRollout', { params: { pool } });
      if (options.json !== true) process.stdout.write(`the roll-out of ${pool} is forgotten\n`);
    });
  addHostRollouts(rollout);
  return rollout;
}

function told(options: CommonOptions, rollout: RolloutView): void {
  if (options.json === true) return printJson(rollout);
  process.stdout.write(`${rollout.pool}: ${SAID[rollout.state](rollout)}\n`);
  if (rollout.hosts > 0 || rollout.state === 'back') return;
  process.stdout.write(
    `No host has ${rollout.to} yet; until one has, workers are made from ${rollout.from}\n`,
  );
}

async function list(options: CommonOptions): Promise<void> {
  const client = await clientFor(options);
  const { items } = await client.call('listRollouts', {});
  const { items: hosts } = await client.call('listHostRollouts', {});
  if (options.json === true) return printJson([...items, ...hosts]);
  if (hosts.length > 0) printHostRollouts(hosts);
  if (hosts.length > 0 && items.length === 0) return;
  printTable(
    ['POOL', 'FROM', 'TO', 'STATE', 'SHARE', 'HOSTS', 'SINCE', 'NEW', 'OLD', 'REASON'],
    items.map((each) => [
      ...[each.pool, each.from, each.to, each.state, `${each.share} %`],
      ...[String(each.hosts), ago(each.startedAt)],
      ...[tallyText(each.new), tallyText(each.old), each.reason ?? ''],
    ]),
  );
}

function tallyText({ made, failed, jobs, jobsFailed }: RolloutView['new']): string {
  return `${made} workers, ${failed} failed; ${jobs} jobs, ${jobsFailed} failed`;
}
