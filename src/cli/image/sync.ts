import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Option, type Command } from 'commander';
import { z } from 'zod';
import { evictImages } from '../../images/evict.ts';
import type { LocalImages } from '../../images/local-images.ts';
import { imageNameText, parseImageName, shortImageName } from '../../images/reference.ts';
import { Peers } from '../../images/peers/peers.ts';
import { syncImages, type Synced } from '../../images/sync.ts';
import { writeJson } from '../../platform/atomic-file.ts';
import { imageTurnsSchema } from '../../protocol/image-turns.ts';
import { ExitError } from '../errors.ts';
import { sizeOption } from '../options.ts';
import { printJson, size } from '../output.ts';
import {
  agentDirOf,
  imagesOf,
  REMOTE_HELP,
  withImages,
  withRemote,
  withThreads,
  type ImageOptions,
} from './places.ts';
import { progressLine } from './progress.ts';

interface SyncOptions extends ImageOptions {
  readonly rate?: number;
  readonly budget?: number;
  readonly status?: string;
  readonly plan?: string;
}

export function addSyncCommand(image: Command): void {
  withImages(image.command('sync <remote> <names...>'))
    .description('bring the images of which a remote has other content than this host')
    .option('--rate <size>', 'bytes a second to fetch at most, such as 50MiB', sizeOption)
    .option('--budget <size>', 'then remove pulled images until all take no more', sizeOption)
    .option('--status <file>', 'keep a JSON file that says how far it is')
    .addOption(
      new Option(
        '--plan <file>',
        'turns and peers as JSON, from the agent; - is standard input',
      ).hideHelp(),
    )
    .addHelpText(
      'after',
      `${REMOTE_HELP}

Agents with --image-remote do this by themselves for the images of their pools.

With --budget the least recently used go first. The images named here, those that workers are made
from, and those that were made or imported on this host, which may be nowhere else, stay.

Example:
  pomona image sync s3://images/macs macos-15 xcode-16:stable --rate 100MiB --budget 300GiB`,
    )
    .action(sync);
}

async function sync(remote: string, names: string[], options: SyncOptions): Promise<void> {
  // Before anything is asked of the remote.
  for (const name of names) parseImageName(name);
  const images = imagesOf(options);
  const line = progressLine(options.json);
  const status = new Status(options.status);
  await status.write();
  const plan = options.plan === undefined ? undefined : await readPlan(options.plan);
  const peers = plan === undefined ? undefined : new Peers(plan.key, plan.peers);
  const rate = options.rate === undefined ? {} : { bytesPerSecond: options.rate };
  const synced = await withRemote(remote, (repository) =>
    withThreads((threads, signal) =>
      syncImages(images, threads, repository, names, {
        ...{ signal, ...rate },
        ...(peers === undefined ? {} : { peers }),
        hasTurn: (name) => plan?.turns.has(shortImageName(name)) ?? true,
        begin: (name) => status.begin(shortImageName(name)),
        progress(progress) {
          line.update(progress);
          if (progress.phase === 'download') status.at(progress.doneBytes / progress.totalBytes);
        },
      }),
    ),
  ).finally(() => {
    line.end();
    peers?.close();
  });
  await status.end(synced);
  const evicted =
    options.budget === undefined
      ? []
      : await evictImages(images, options.budget, await inUse(images, names, options));
  const failed = synced.filter(({ outcome }) => outcome === 'failed' || outcome === 'absent');
  if (options.json === true) printJson({ images: synced, evicted });
  else {
    for (const each of synced) process.stdout.write(`${textOf(each, remote)}\n`);
    for (const { digest, bytes } of evicted) {
      process.stdout.write(`${digest} was removed: ${size(bytes)}\n`);
    }
  }
  if (failed.length > 0) throw new ExitError(1);
}

function textOf(
  { outcome, fetchedBytes, peerBytes, reason, ...name }: Synced,
  remote: string,
): string {
  const said = {
    pulled: `was brought: ${size(fetchedBytes)} fetched${peerBytes > 0 ? `, ${size(peerBytes)} from other hosts` : ''}`,
    waiting: 'waits for another host that is bringing it',
    current: 'is as in the remote',
    absent: `is not in ${remote}`,
    failed: `failed: ${reason}`,
  };
  return `${imageNameText(name)} ${said[outcome]}`;
}

/** Digests of the images named, and of those that the host's workers are made from. */
async function inUse(
  images: LocalImages,
  names: readonly string[],
  options: ImageOptions,
): Promise<Set<string>> {
  const wanted = new Set(names.map((name) => imageNameText(parseImageName(name))));
  const tags = (await images.tags()).filter((tag) => wanted.has(imageNameText(tag)));
  const used = new Set(tags.map(({ digest }) => digest));
  for await (const path of glob('workers/*/worker.json', { cwd: agentDirOf(options) })) {
    // One that cannot be read is being made or removed this moment: better to keep too much.
    const text = await readFile(join(agentDirOf(options), path), 'utf8').catch(() => '');
    for (const [digest] of text.matchAll(/sha256:[0-9a-f]{64}/g)) used.add(digest);
  }
  return used;
}

/** What agents give; see `ImageFetches`. */
const planSchema = z.strictObject({
  key: z.base64().transform((text) => Buffer.from(text, 'base64')),
  turns: z.array(z.string()).transform((names) => new Set(names)),
  peers: imageTurnsSchema.shape.peers,
});

async function readPlan(path: string): Promise<z.output<typeof planSchema>> {
  const content = path === '-' ? await text(process.stdin) : await readFile(path, 'utf8');
  return planSchema.parse(JSON.parse(content));
}

const STATUS_EVERY_MS = 1_000;

/** The file that says how far a sync is, for whoever started it. */
class Status {
  readonly #path: string | undefined;
  #name: string | undefined;
  #percent = 0;
  #writtenAt = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string | undefined) {
    this.#path = path;
  }

  begin(name: string): void {
    [this.#name, this.#percent, this.#writtenAt] = [name, 0, 0];
    this.at(0);
  }

  at(share: number): void {
    this.#percent = Math.floor(share * 100);
    if (performance.now() - this.#writtenAt < STATUS_EVERY_MS && this.#writtenAt > 0) return;
    this.#writtenAt = performance.now();
    void this.write();
  }

  async end(synced: readonly Synced[]): Promise<void> {
    this.#name = undefined;
    const failed = synced.flatMap(({ outcome, reason, ...name }) => {
      if (outcome === 'absent') return [{ name, reason: 'the remote has none of that name' }];
      return outcome === 'failed' ? [{ name, reason: reason ?? '' }] : [];
    });
    const waiting = synced.filter(({ outcome }) => outcome === 'waiting').map(shortImageName);
    await this.write(
      waiting,
      failed.map((each) => ({ ...each, name: shortImageName(each.name) })),
    );
  }

  write(
    waiting: readonly string[] = [],
    failed: readonly { readonly name: string; readonly reason: string }[] = [],
  ): Promise<void> {
    const path = this.#path;
    if (path === undefined) return Promise.resolve();
    const [name, percent] = [this.#name, this.#percent];
    const record = { ...(name === undefined ? {} : { name, percent }), waiting, failed };
    this.#writing = this.#writing.then(() => writeJson(path, record)).catch(() => undefined);
    return this.#writing;
  }
}
