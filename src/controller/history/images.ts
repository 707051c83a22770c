import type { HostFacts } from '../../domain/host.ts';
import { EMPTY_IMAGE } from '../../domain/pool.ts';
import { wantedImages } from '../../domain/scheduling/fit.ts';
import { factsOf, listHosts } from '../../db/queries/hosts.ts';
import type { ImageView } from '../../protocol/api/history-resources.ts';
import type { Context } from '../context.ts';
import { poolsNow } from '../pools-now.ts';

interface Gathered {
  readonly pools: Set<string>;
  readonly versions: Map<string, { bytes: number | undefined; hosts: string[] }>;
  readonly fetching: ImageView['fetching'];
  readonly missing: string[];
}

/** Every image that a host has or a pool wants, by name. */
export async function listImages({ db }: Context): Promise<ImageView[]> {
  const images = new Map<string, Gathered>();
  const of = (name: string): Gathered => {
    let image = images.get(name);
    if (image === undefined) {
      image = { pools: new Set(), versions: new Map(), fetching: [], missing: [] };
      images.set(name, image);
    }
    return image;
  };
  const pools = (await poolsNow(db)).flatMap(({ now, canary }) =>
    canary === undefined ? [now] : [now, canary],
  );
  for (const { name, image } of pools) if (image !== EMPTY_IMAGE) of(image).pools.add(name);
  for (const row of await listHosts(db)) {
    const facts = factsOf(row);
    if (facts !== undefined) gather(of, row.name, facts, wantedImages(pools, facts));
  }
  return [...images]
    .map(([name, { pools: of_, versions, fetching, missing }]) => ({
      ...{ name, pools: [...of_].toSorted(), fetching, missing },
      versions: [...versions]
        .map(([digest, { bytes, hosts }]) => ({
          ...{ digest, hosts },
          ...(bytes === undefined ? {} : { bytes }),
        }))
        .toSorted((a, b) => b.hosts.length - a.hosts.length),
    }))
    .toSorted((a, b) => a.name.localeCompare(b.name));
}

function gather(
  of: (name: string) => Gathered,
  host: string,
  facts: HostFacts,
  wanted: readonly string[],
): void {
  const has = new Set<string>();
  for (const { name, digest } of facts.images) {
    if (name === EMPTY_IMAGE) continue;
    has.add(name);
    const { versions } = of(name);
    const version = versions.get(digest) ?? { bytes: undefined, hosts: [] };
    version.bytes ??= facts.imageBytes?.[digest];
    version.hosts.push(host);
    versions.set(digest, version);
  }
  for (const { name, detail, share } of facts.imageFetches ?? []) {
    has.add(name);
    of(name).fetching.push({ host, detail, ...(share === undefined ? {} : { share }) });
  }
  for (const name of wanted) if (!has.has(name)) of(name).missing.push(host);
}
