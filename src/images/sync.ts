import type { LocalImages } from './local-images.ts';
import { pullImage, type PullOptions } from './pull.ts';
import { imageNameText, parseImageName, type ImageName } from './reference.ts';
import type { Repository } from './repository.ts';
import type { Threads } from './work/threads.ts';

/** What became of one image. */
export interface Synced extends ImageName {
  /**
   * `current`: the remote has what is here. `absent`: the remote has none of that name. `waiting`: it is
   * not this host's turn, and no other has it yet.
   */
  readonly outcome: 'pulled' | 'current' | 'absent' | 'waiting' | 'failed';
  /** Stored bytes that came from the remote. */
  readonly fetchedBytes: number;
  /** Bytes that came from other hosts. */
  readonly peerBytes: number;
  /** Why it failed. */
  readonly reason?: string;
}

export interface SyncOptions extends PullOptions {
  /** Whether an image may be brought from the remote now, when no other host has it; otherwise it waits. */
  hasTurn?(name: ImageName): boolean;
  /** Called when an image is begun. */
  begin?(name: ImageName): void;
}

const NOTHING = { fetchedBytes: 0, peerBytes: 0 } as const;

/**
 * Brings images, one after the other, of which the remote has other content than this host, or which are
 * not here. A name moves when its new content is whole. One that fails does not keep the others.
 */
export async function syncImages(
  images: LocalImages,
  threads: Threads,
  repository: Repository,
  names: readonly string[],
  options: SyncOptions = {},
): Promise<Synced[]> {
  const tags = new Map(
    (await repository.tags(options.signal)).map((tag) => [imageNameText(tag), tag.digest]),
  );
  const here = new Map((await images.tags()).map((tag) => [imageNameText(tag), tag.digest]));
  const synced: Synced[] = [];
  for (const name of names.map(parseImageName)) {
    const text = imageNameText(name);
    const digest = tags.get(text);
    if (digest === undefined) {
      synced.push({ ...name, outcome: 'absent', ...NOTHING });
    } else if (here.get(text) === digest && (await images.has(digest))) {
      synced.push({ ...name, outcome: 'current', ...NOTHING });
    } else if (options.hasTurn?.(name) === false && options.peers?.has(digest) !== true) {
      synced.push({ ...name, outcome: 'waiting', ...NOTHING });
    } else {
      synced.push({ ...name, ...(await pulled(images, threads, repository, name, options)) });
    }
  }
  return synced;
}

async function pulled(
  images: LocalImages,
  threads: Threads,
  repository: Repository,
  name: ImageName,
  options: SyncOptions,
): Promise<Omit<Synced, keyof ImageName>> {
  options.begin?.(name);
  try {
    const { fetchedBytes, peerBytes } = await pullImage(images, threads, repository, name, options);
    return { outcome: 'pulled', fetchedBytes, peerBytes };
  } catch (error) {
    options.signal?.throwIfAborted();
    return { outcome: 'failed', ...NOTHING, reason: (error as Error).message };
  }
}
