import { cpus } from 'node:os';
import { join } from 'node:path';
import { startAgent, type Agent, type AgentOptions, type PeerListen } from '../agent/agent.ts';
import { MACOS_VMS_PER_HOST, type HostCapacity } from '../domain/host.ts';
import { SANDBOX_DRIVERS } from '../drivers/sandbox/drivers.ts';
import { STORE_DRIVERS } from '../drivers/store/drivers.ts';
import { syntheticVmDrivers, VM_DRIVERS } from '../drivers/vm/drivers.ts';
import { UsageError } from './errors.ts';
import { hostBuilder } from './build/host-builder.ts';
import { MachineSweeps } from './build/machines.ts';
import { entryPoint } from '../platform/entry.ts';
import { limiter } from '../platform/limiter.ts';

type HostOptions = Omit<
  AgentOptions,
  'stores' | 'sandboxes' | 'vms' | 'keeper' | 'builds' | 'rebuild' | 'fetchImages'
>;

/** Where an agent brings the images of its pools from. */
export interface ImageSource {
  readonly remote: string;
  /** Bytes a second. */
  readonly rate?: number | undefined;
  /** Bytes of all images. */
  readonly budget?: number | undefined;
}

/** Of the options `--image-remote`, `--image-rate` and `--image-budget`. */
export function imageSourceOf(options: {
  imageRemote?: string;
  imageRate?: number;
  imageBudget?: number;
}): { imageSource?: ImageSource } {
  const { imageRemote: remote, imageRate: rate, imageBudget: budget } = options;
  if (remote !== undefined) return { imageSource: { remote, rate, budget } };
  if (rate === undefined && budget === undefined) return {};
  throw new UsageError('--image-rate and --image-budget need --image-remote');
}

/** Of the options `--peer-listen` and `--peer-address`. */
export function peerListenOf(options: { peerListen?: string; peerAddress?: string }): {
  peerListen?: PeerListen;
} {
  const { peerListen, peerAddress: address } = options;
  if (peerListen === undefined) {
    if (address === undefined) return {};
    throw new UsageError('--peer-address needs --peer-listen');
  }
  const [, host = '', port] = /^(.+):(\d{1,5})$/.exec(peerListen) ?? [];
  const isAny = ['0.0.0.0', '[::]', '*'].includes(host);
  if (port === undefined || Number(port) > 65_535) {
    throw new UsageError(`--peer-listen expects HOST:PORT, not ${peerListen}`);
  }
  if (isAny && address === undefined) {
    throw new UsageError(
      `--peer-listen ${peerListen} needs --peer-address, by which others reach it`,
    );
  }
  const listen = { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
  return { peerListen: address === undefined ? listen : { ...listen, address } };
}

function syncArguments({ remote, rate, budget }: ImageSource): string[] {
  return [
    ...['image', 'sync', remote],
    ...(rate === undefined ? [] : ['--rate', `${rate}B`]),
    ...(budget === undefined ? [] : ['--budget', `${budget}B`]),
  ];
}

/** Hosts that start at a time in one process. */
const STARTING = 8;

/** Puts an agent together from all the drivers there are. */
export async function startFullAgent(
  options: HostOptions & {
    readonly buildStore?: string | undefined;
    readonly buildsDir: string;
    /** How `pomona image` finds this host's data. */
    readonly imageOptions: readonly string[];
    readonly imageSource?: ImageSource;
  },
): Promise<Agent> {
  const { buildStore, buildsDir, imageOptions, imageSource, ...host } = options;
  const program = entryPoint('cli/main');
  const imagesDir = join(options.dataDir, 'images');
  const agent = await startAgent({
    ...host,
    builds: await hostBuilder({ store: buildStore, buildsDir }, imagesDir),
    rebuild: {
      file: program.file,
      args: [...program.args, 'image', 'rebuild', '--due', ...imageOptions],
    },
    ...(imageSource === undefined
      ? {}
      : {
          fetchImages: {
            file: program.file,
            args: [...program.args, ...syncArguments(imageSource), ...imageOptions],
          },
        }),
    stores: STORE_DRIVERS,
    sandboxes: SANDBOX_DRIVERS,
    vms: VM_DRIVERS,
    keeper: entryPoint('cli/keep'),
  });
  const sweeps = new MachineSweeps(options.dataDir, options.log);
  const close = async () => {
    sweeps.close();
    await agent.close();
  };
  return { done: agent.done.finally(() => sweeps.close()), close };
}

/**
 * Starts `count` hosts named `<name>-1`, `<name>-2`, ... in this process, each an agent of its own
 * with its own credential, session and directory below `dataDir`. All of it is as with any agent,
 * but for the workers: they are pretended, and nothing else is offered.
 */
export async function startSyntheticAgents(options: HostOptions, count: number): Promise<Agent> {
  const inTurn = limiter(STARTING);
  const started = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => `${options.name}-${index + 1}`).map((name) =>
      inTurn(() =>
        startAgent({
          ...options,
          name,
          dataDir: join(options.dataDir, name),
          stores: {},
          sandboxes: {},
          vms: syntheticVmDrivers(),
          keeper: entryPoint('cli/keep'),
        }),
      ),
    ),
  );
  const agents = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const close = async () => void (await Promise.all(agents.map((agent) => agent.close())));
  const failed = started.find((each) => each.status === 'rejected');
  if (failed !== undefined) {
    await close();
    throw failed.reason;
  }
  return { done: Promise.all(agents.map((agent) => agent.done)).then(() => undefined), close };
}

export function capacityFor(wanted: { workers?: number; macosVms?: number }): HostCapacity {
  return {
    workers: wanted.workers ?? Math.max(2, cpus().length),
    macosVms: wanted.macosVms ?? (process.platform === 'darwin' ? MACOS_VMS_PER_HOST : 0),
  };
}
