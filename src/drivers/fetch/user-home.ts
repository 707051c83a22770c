import { createHash } from 'node:crypto';
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { tool } from '../../platform/tool.ts';
import { copyTree, digestTree, removeTree } from '../../platform/tree.ts';
import { FetchError, type FetchDriver, type Fetcher, type FetchOptions } from './fetch.ts';
import { KnownDigests } from './known-digests.ts';

/** Of a home that a base is made from, what is the user's own business stays there. */
export const LEFT_OUT: readonly string[] = [
  ...['.aws', '.azure', '.config/gcloud', '.config/gh', '.docker/config.json', '.gnupg', '.kube'],
  ...['.git-credentials', '.netrc', '.npmrc', '.pypirc', '.ssh', 'Library/Keychains'],
  ...['.bash_history', '.bash_sessions', '.node_repl_history', '.python_history'],
  ...['.zsh_history', '.zsh_sessions'],
];

/** The home of a user of this machine, with or without a tools prefix. */
export const userHomeDriver: FetchDriver = {
  name: 'home',
  form: 'home:USER or home:USER,PREFIX',
  readsHost: true,
  accepts: (ref) => ref.startsWith('home:'),
  probe: async () => ({
    ...{ name: 'home', rank: 10, available: true },
    detail: 'bases are copied from homes of users of this machine',
  }),
  open: ({ cacheDir }) => new UserHomeFetcher(new KnownDigests(cacheDir)),
};

class UserHomeFetcher implements Fetcher {
  readonly name = 'home';
  readonly #known: KnownDigests;

  constructor(known: KnownDigests) {
    this.#known = known;
  }

  async resolve(ref: string, signal: AbortSignal) {
    const { user, prefix } = parse(ref);
    const home = await directoryOf(await homeOf(user));
    // A home as such is another base than the same directory as a root.
    const parts = ['home', await this.#known.of(home, () => digestTree(home))];
    signal.throwIfAborted();
    if (prefix !== undefined) {
      const dir = await directoryOf(prefix);
      parts.push(prefix, await this.#known.of(dir, () => digestTree(dir)));
    }
    const digest = createHash('sha256').update(parts.join('\n')).digest('hex');
    return { digest: `sha256:${digest}`, pinned: ref };
  }

  async fetch(pinned: string, dir: string, { signal }: FetchOptions) {
    const { user, prefix } = parse(pinned);
    for (const part of ['home', 'prefix']) await mkdir(join(dir, part), { mode: 0o755 });
    const home = await directoryOf(await homeOf(user));
    await copyTree(home, join(dir, 'home'), { reflink: false, signal });
    for (const path of LEFT_OUT) await removeTree(join(dir, 'home', path));
    if (prefix === undefined) return { layout: 'home', env: {} } as const;
    const from = await directoryOf(prefix);
    await copyTree(from, join(dir, 'prefix'), { reflink: false, signal });
    return { layout: 'home', env: {}, prefixPath: prefix } as const;
  }
}

function parse(ref: string): { readonly user: string; readonly prefix: string | undefined } {
  const [, user = '', prefix] = /^home:([A-Za-z0-9_][A-Za-z0-9_.-]*)(?:,(.+))?$/s.exec(ref) ?? [];
  if (user === '' || (prefix !== undefined && !isAbsolute(prefix))) {
    const message = `expected home:USER or home:USER,/where/its/tools/are, not ${ref}`;
    throw new FetchError('missing', message);
  }
  return { user, prefix };
}

/** By the host's own directory of users. */
async function homeOf(user: string): Promise<string> {
  if (process.platform === 'darwin') {
    const { stdout } = await tool('dscl', ['.', '-read', `/Users/${user}`, 'NFSHomeDirectory']);
    const home = /^NFSHomeDirectory:\s*(.+)$/m.exec(stdout)?.[1];
    if (home !== undefined) return home;
  } else {
    const lines = (await readFile('/etc/passwd', 'utf8')).split('\n');
    const home = lines.map((line) => line.split(':')).find(([name]) => name === user)?.[5];
    if (home !== undefined) return home;
  }
  throw new FetchError('missing', `this machine has no user ${user}`);
}

async function directoryOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new FetchError('missing', `${path} is no directory that can be read`, { cause });
  }
}
