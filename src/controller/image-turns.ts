import { factsOf, listHosts } from '../db/queries/hosts.ts';
import type { ImageTurns } from '../protocol/image-turns.ts';
import type { Context } from './context.ts';
import type { HostLinks } from './host-links.ts';

/** Hosts that bring one image from the remote at the same time; the others wait for one that has it. */
const AT_ONCE = 2;
/** A turn that is not asked for again ends. */
const TURN_MS = 120_000;
/** Hosts named for one image: enough to share the work, few enough for a small answer. */
const MOST_PEERS = 8;

/**
 * Whose turn it is to bring an image from the remote, so that a release reaches many hosts without as many
 * downloads. Kept in memory: after a restart of the controller a few hosts more may bring it themselves.
 */
export class ImageTurnTaking {
  readonly #context: Context;
  readonly #links: HostLinks;
  /** By image: when the turn of each host ends, by the monotonic clock. */
  readonly #turns = new Map<string, Map<string, number>>();

  constructor(context: Context, links: HostLinks) {
    this.#context = context;
    this.#links = links;
  }

  /** Turns and peers for a host that wants these images, and no turn any more for others. */
  async take(hostId: string, images: readonly string[]): Promise<ImageTurns> {
    const now = this.#context.clock.monotonic();
    const wanted = new Set(images);
    for (const [image, holders] of this.#turns) {
      if (!wanted.has(image)) holders.delete(hostId);
      for (const [holder, until] of holders) if (until <= now) holders.delete(holder);
      if (holders.size === 0) this.#turns.delete(image);
    }
    const turns = images.filter((image) => {
      const holders = this.#turns.get(image) ?? new Map<string, number>();
      if (!holders.has(hostId) && holders.size >= AT_ONCE) return false;
      this.#turns.set(image, holders.set(hostId, now + TURN_MS));
      return true;
    });
    return { turns, peers: await this.#peers(hostId, wanted) };
  }

  async #peers(hostId: string, wanted: ReadonlySet<string>): Promise<ImageTurns['peers']> {
    const named = new Map<string, number>();
    const peers: ImageTurns['peers'] = [];
    for (const row of shuffled(await listHosts(this.#context.db))) {
      const facts = row.id === hostId ? undefined : factsOf(row);
      if (facts?.peer === undefined || !this.#links.of(row).online) continue;
      const digests = facts.images
        .filter(({ name, digest }) => wanted.has(name) && (named.get(digest) ?? 0) < MOST_PEERS)
        .map(({ digest }) => digest);
      if (digests.length === 0) continue;
      for (const digest of digests) named.set(digest, (named.get(digest) ?? 0) + 1);
      peers.push({ address: facts.peer, digests });
    }
    return peers;
  }
}

/** So that not every host asks the same few. */
function shuffled<T>(values: readonly T[]): T[] {
  const mixed = values.map((value) => ({ value, place: Math.random() }));
  return mixed.toSorted((a, b) => a.place - b.place).map(({ value }) => value);
}
