import { isAbsolute, join } from 'node:path';
import { StoreError } from '../store.ts';

/** Name of the snapshot that makes a dataset a whole one. */
export const SNAPSHOT = 'snap';

/** Where a store is in a pool, and where it mounts what is in use. */
export interface ZfsPlace {
  /** `POOL` or `POOL/DATASET`. */
  readonly dataset: string;
  /** Directory for mount points, and for what is kept beside the pool. */
  readonly dir: string;
}

const MOUNTS = process.platform === 'darwin' ? '/Volumes' : '/var/lib/pomona/zfs';
const COMPONENT = '[A-Za-z0-9][A-Za-z0-9._:-]*';
const DATASET = new RegExp(`^[A-Za-z][A-Za-z0-9._:-]*(?:/${COMPONENT})*$`);

/** What `zfsPlace` reads. */
export const ZFS_FORM = 'POOL[/DATASET][?dir=/where-to-mount]';

/** Reads what `open` of the driver takes. Throws `StoreError` `bad_place`. */
export function zfsPlace(root: string): ZfsPlace {
  const [dataset = '', query, ...rest] = root.split('?');
  const dir = query === undefined ? join(MOUNTS, dataset) : /^dir=(.+)$/s.exec(query)?.[1];
  if (!DATASET.test(dataset) || rest.length > 0 || dir === undefined || !isAbsolute(dir)) {
    throw new StoreError('bad_place', `expected zfs:${ZFS_FORM}`);
  }
  return { dataset, dir };
}

/** Kinds of ids that have a folder of their own; what is before the first dot tells. */
const KINDS = ['base-image', 'result', 'cache'] as const;
/** Folder of all other ids. */
const OTHER = 'other';

/** Folders of a store: of snapshots by kind, of clones, and of what a process needs for a while. */
export const SNAPSHOT_FOLDERS: readonly string[] = [...KINDS, OTHER];
export const CLONES = 'clone';
export const TEMPORARY = 'tmp';

/** Dataset of a snapshot, below the store's: `result.ID` is at `result/ID`. */
export function datasetOf(id: string): string {
  const dot = id.indexOf('.');
  const rest = id.slice(dot + 1);
  const kind = KINDS.find((each) => dot > 0 && id.slice(0, dot) === each);
  // What ZFS would not take as a name stays as it is.
  return kind === undefined || /^\.{0,2}$/.test(rest) ? `${OTHER}/${id}` : `${kind}/${rest}`;
}

/** The id whose dataset that is; undefined when it is none. */
export function idOf(dataset: string): string | undefined {
  const [folder = '', name = '', ...deeper] = dataset.split('/');
  if (deeper.length > 0 || name === '') return undefined;
  if (folder === OTHER) return name;
  return (KINDS as readonly string[]).includes(folder) ? `${folder}.${name}` : undefined;
}
