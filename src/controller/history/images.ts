import type { HostFacts } from '../../domain/host.ts';
import { EMPTY_IMAGE, type Pool } from '../../domain/pool.ts';
import { canaryOf, poolNow } from '../../domain/rollout.ts';
import { wantedImages } from '../../domain/scheduling/fit.ts';
import { factsOf, listHosts } from '../../db/queries/hosts.ts';
import { listPools } from '../../db/queries/pools.ts';
import { rolloutsWithTallies } from '../../db/queries/rollouts.ts';
import type { ImageView } from '../../protocol/api/history-resources.ts';
import type { Context } from '../context.ts';

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
  const pools = await poolsNow(db);
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

/** Pools as they are now, and as they are to be after their roll-outs. */
async function poolsNow(db: Context['db']): Promise<Pool[]> {
  const rollouts = new Map(
    (await rolloutsWithTallies(db)).map(([, rollout]) => [rollout.pool, rollout]),
  );
  return (await listPools(db)).flatMap((row) => {
    const pool = JSON.parse(row.spec) as Pool;
    const canary = canaryOf(pool, rollouts.get(row.name));
    return [poolNow(pool, rollouts.get(row.name)), ...(canary === undefined ? [] : [canary])];
  });
}
