import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { controllerUrls } from '../agent/controllers.ts';
import type { Agent } from '../agent/agent.ts';
import { readJoinToken } from '../agent/credential.ts';
import type { Rent } from '../agent/rented.ts';
import { NAME_PATTERN } from '../domain/ids.ts';
import { defaultDataDir } from '../platform/data-dir.ts';
import {
  capacityFor,
  imageSourceOf,
  peerListenOf,
  startFullAgent,
  startSyntheticAgents,
} from './agents.ts';
import { UsageError } from './errors.ts';
import { collect, durationOption, integerOption, sizeOption } from './options.ts';
import { installedVersion, startAnew } from './start-anew.ts';
import { defaultHostName, loggerFor, untilAsked } from './serving.ts';

/** What one process may pretend to be. */
const MOST_SYNTHETIC = 2_000;

interface RunOptions {
  readonly controller: string;
  readonly joinTokenFile?: string;
  readonly name?: string;
  readonly data?: string;
  readonly label: string[];
  readonly workers?: number;
  readonly macosVms?: number;
  readonly buildStore?: string;
  readonly imageRemote?: string;
  readonly imageRate?: number;
  readonly imageBudget?: number;
  readonly peerListen?: string;
  readonly peerAddress?: string;
  readonly rebootCommand?: string;
  readonly reimageCommand?: string;
  readonly updateCommand?: string;
  readonly rentedFor?: number;
  readonly endCommand?: string;
  readonly synthetic?: number;
  readonly verbose?: boolean;
}

export function command(): Command {
  const agent = new Command('agent').description('run the agent of a host');
  agent
    .command('run')
    .description('run the agent of this host, until interrupted')
    .requiredOption(
      '--controller <url>',
      'where the controller is; several with commas between them',
    )
    .option('--join-token-file <file>', 'a join token; needed the first time only')
    .option('--name <name>', 'name of the host in the fleet (default: its host name)')
    .option('--data <dir>', "the agent's own data directory")
    .option('--label <label>', 'a label of this host; may be repeated', collect, [])
    .option('--workers <n>', 'workers at once (default: its CPUs, at least 2)', integerOption)
    .option('--macos-vms <n>', 'macOS VMs at once (default: 2 on a Mac)', integerOption)
    .option('--build-store <spec>', 'where builds are kept (default: the best that works)')
    .option('--image-remote <remote>', 'where images of pools are brought from, ahead of workers')
    .option('--image-rate <size>', 'bytes a second to bring at most, such as 50MiB', sizeOption)
    .option('--image-budget <size>', 'room for images; the least used are removed', sizeOption)
    .option('--peer-listen <host:port>', 'give images to other hosts of the fleet there')
    .option('--peer-address <host:port>', 'what they reach it by, when that is another')
    .option('--reboot-command <line>', 'reboots the host: when asked, or a macOS VM slot leaked')
    .option('--reimage-command <line>', 'installs the host anew, when asked')
    .option('--update-command <line>', 'installs $POMONA_VERSION of the agent, when asked')
    .option('--rented-for <duration>', 'retire this host after this time', durationOption)
    .option('--end-command <line>', 'gives a rented host back; with --rented-for')
    .option('--synthetic <n>', 'pretend n hosts that run NOTHING; for load tests', integerOption)
    .option('--verbose', 'log more')
    .addHelpText(
      'after',
      `
The three commands are lines of shell. The host is emptied before, and the controller asks for them
(\`pomona host reboot\`, \`pomona rollout agent\`, and when a host that fails is to mend itself); where one is
not given, the host does not do that.

A host with --rented-for is retired when its time is over: no jobs start, and once the last has ended it is forgotten
and the end command runs, as it does whenever the host is removed. When no controller answers the host ends itself
then, once no job runs, two hours later at the latest.

Several agents may run on one machine under different names.

With --synthetic, this process is n hosts NAME-1, NAME-2, ... whose only workers are pretended
virtual machines: no job's command runs. Their pools have \`kind: vm\` and \`vm: synthetic\`; the
join token must allow n uses.

Examples:
  pomona agent run --controller http://ci:7766 --join-token-file join.token
  pomona agent run --controller http://ci:7766 --join-token-file t --name mac-2 --label xcode-16
  pomona agent run --controller http://ci:7766 --join-token-file t --name load --synthetic 100
  pomona agent run --controller http://ci:7766 --reboot-command 'sudo /sbin/shutdown -r now' \\
    --update-command 'npm install --global pomona@$POMONA_VERSION'`,
    )
    .action(run);
  return agent;
}

/** Of the options `--rented-for` and `--end-command`. */
function rentOf({ rentedFor: hardAgeMs, endCommand }: RunOptions): { rent?: Rent } {
  if (hardAgeMs === undefined && endCommand === undefined) return {};
  if (hardAgeMs === undefined || endCommand === undefined) {
    throw new UsageError('--rented-for and --end-command need each other');
  }
  return { rent: { hardAgeMs, endCommand } };
}

async function run(options: RunOptions): Promise<void> {
  const name = options.name ?? defaultHostName();
  if (!NAME_PATTERN.test(name)) {
    throw new UsageError(
      `--name expects lower-case letters, digits, ".", "_" and "-", not ${name}`,
    );
  }
  if (!controllerUrls(options.controller).every((url) => URL.canParse(url))) {
    throw new UsageError(
      `--controller expects a URL such as http://ci:7766, not ${options.controller}`,
    );
  }
  const { synthetic } = options;
  if (synthetic !== undefined && (synthetic < 1 || synthetic > MOST_SYNTHETIC)) {
    throw new UsageError(`--synthetic expects 1 to ${MOST_SYNTHETIC} hosts, not ${synthetic}`);
  }
  const dataDir = resolve(options.data ?? join(defaultDataDir(), 'agents', name));
  const host = {
    controllerUrl: options.controller,
    joinToken: () => {
      if (options.joinTokenFile !== undefined) return readJoinToken(options.joinTokenFile);
      throw new UsageError(
        `this host has not joined yet (no credential in ${dataDir}); give --join-token-file, made with \`pomona token join\``,
      );
    },
    name,
    dataDir,
    labels: options.label,
    capacity: capacityFor(options),
    log: loggerFor(options),
    program: `pomona agent run --name ${name}`,
  };
  const anew = Promise.withResolvers<'anew'>();
  let agent: Agent;
  if (synthetic === undefined) {
    const { buildStore } = options;
    agent = await startFullAgent({
      ...{ ...host, buildStore, buildsDir: join(dataDir, 'builds') },
      imageOptions: ['--agent-data', dataDir],
      ...imageSourceOf(options),
      ...peerListenOf(options),
      ...rentOf(options),
      tools: {
        ...{ restart: () => anew.resolve('anew'), installedVersion },
        rebootCommand: options.rebootCommand,
        reimageCommand: options.reimageCommand,
        updateCommand: options.updateCommand,
      },
    });
    process.stdout.write(`The agent of host ${name} is ready\n`);
  } else {
    process.stderr.write(
      `SYNTHETIC: ${synthetic} pretended hosts; no command of any job runs here, whatever its result says\n`,
    );
    agent = await startSyntheticAgents(host, synthetic);
    process.stdout.write(`The agent of ${synthetic} synthetic hosts is ready\n`);
  }
  let why: 'anew' | void;
  try {
    why = await Promise.race([untilAsked(), agent.done, anew.promise]);
  } finally {
    await agent.close();
  }
  if (why === 'anew') startAnew();
}
