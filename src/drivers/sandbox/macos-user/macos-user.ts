import { chmod, lstat, mkdir, realpath, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMissing, readJson, writeJson } from '../../../platform/atomic-file.ts';
import { chownTree, removeTree } from '../../../platform/tree.ts';
import { endProcesses } from '../end-processes.ts';
import {
  agentPath,
  commandEnvironment,
  findProgram,
  launcherEnvironment,
  WORKER_VARIABLE,
} from '../environment.ts';
import { makeMountPoints, removeMountPoints, secretsDir } from '../mount-points.ts';
import type { Shown } from '../../../platform/inside-path.ts';
import { probeSandbox } from '../probe.ts';
import { assertReachable } from '../reachable.ts';
import {
  SandboxError,
  type Launch,
  type Mount,
  type Sandbox,
  type SandboxCapabilities,
  type SandboxCommand,
  type SandboxDriver,
  type SandboxSpec,
} from '../sandbox.ts';
import { cleanSharedPlaces } from '../shared-places.ts';
import { assertStartable, assertSupported, homeFiles } from '../supported.ts';
import { claimUid, releaseUid, uidOf } from '../worker-users.ts';
import { wrapped } from '../wrapper.ts';
import { killUser } from './kill-user.ts';
import { layOver, takeAway } from './overlays.ts';
import { putBack, putInPlace } from './places.ts';
import { sandboxProfile } from './profile.ts';
import { writeStartFile } from './start-file.ts';
import { tool } from '../../../platform/tool.ts';
import { createUser, deleteUser, type BuildUser } from './users.ts';

/** One way to use users of macOS. */
export interface MacosKind {
  readonly name: string;
  readonly rank: number;
  /** Users that may be made; with one only, there is one environment at a time. */
  readonly uids: { readonly first: number; readonly last: number };
  /** Where homes are shown while commands run; undefined: homes and prefixes stay where they are. */
  readonly homes: string | undefined;
}

/** Below `user`: workers get these where a pool names them, since no sandbox-exec works in another. */
const RANKS = { one: 3, several: 4 } as const;

/**
 * One environment at a time, as user `mac1000`, its home at /Users/mac1000 and its prefix where the
 * image wants it: for files that hold their own paths, as Homebrew's and opam's do.
 */
export const macosUserDriver = macosDriver({
  name: 'macos-user',
  rank: RANKS.one,
  uids: { first: 1000, last: 1000 },
  homes: '/Users',
});

/** Several environments at once, a user each; homes and prefixes are used where the clones are. */
export const macosUsersDriver = macosDriver({
  name: 'macos-users',
  rank: RANKS.several,
  uids: { first: 61_000, last: 64_999 },
  homes: undefined,
});

/** A user of macOS for each environment, and the system's own sandbox where it has one. */
export function macosDriver(kind: MacosKind): SandboxDriver {
  const driver: SandboxDriver = {
    name: kind.name,
    rank: kind.rank,
    probe: async () => {
      const { name, rank } = driver;
      if ((await findProgram('dscl')) === undefined) {
        const detail = 'it makes users of macOS, and this is not macOS (there is no dscl)';
        return { name, rank, isolation: 'user', available: false, detail };
      }
      return probeSandbox(
        driver,
        'user',
        kind.homes === undefined
          ? 'a user of macOS for each worker, several at once; prefixes where the clones are'
          : 'a user of macOS, one worker at a time; home and prefix where the image wants them',
        'run the agent as root',
      );
    },
    open: async () => new MacosUserSandbox(kind, (await findProgram('sandbox-exec')) !== undefined),
  };
  return driver;
}

class MacosUserSandbox implements Sandbox {
  readonly name: string;
  readonly capabilities: SandboxCapabilities;
  readonly #kind: MacosKind;
  readonly #confines: boolean;

  constructor(kind: MacosKind, confines: boolean) {
    this.name = kind.name;
    this.#kind = kind;
    this.#confines = confines;
    this.capabilities = {
      isolation: 'user',
      mountsPrefix: kind.homes !== undefined,
      limits: { cpus: false, memoryBytes: false, openFiles: true, processes: true },
      files: { home: true, root: false },
      network: { host: true, none: confines },
      mounts: true,
      fastSync: false,
      userIds: 'one',
      homePath: kind.homes === undefined ? undefined : join(kind.homes, `mac${kind.uids.first}`),
      concurrent: kind.uids.last > kind.uids.first,
    };
  }

  async prepare(spec: SandboxSpec): Promise<void> {
    assertSupported(this, spec);
    if (process.getuid?.() !== 0) {
      throw new SandboxError('unsupported', `${this.name}: run the agent as root`);
    }
    const uid = await claimUid(spec.name, this.#kind.uids);
    const user = this.#userOf(spec, uid);
    const { homeDir, prefixDir } = homeFiles(spec);
    await mkdir(spec.tmpDir, { recursive: true });
    await chmod(spec.tmpDir, 0o711);
    await writeJson(userRecord(spec), user);
    // What a crash left of an environment before.
    await killUser(uid);
    await this.#undo(spec);
    await chmod(homeDir, 0o700);
    await chmod(prefixDir, this.#kind.homes === undefined ? 0o700 : 0o755);
    await chownTree(homeDir, uid, uid);
    await chownTree(prefixDir, uid, uid);
    await assertReachable(homeDir);
    const owner = { uid, gid: uid };
    const shown = this.#shown(spec, user);
    const mounts = await makeMountPoints(spec, shown, owner);
    for (const { source, readOnly } of mounts) {
      if (!readOnly) await chownTree(source, uid, uid);
    }
    await layOver(overlayRecord(spec), mounts, shown, owner);
    await createUser(user, spec.name);
    for (const { inside, dir } of shown) {
      if (inside !== dir) await putInPlace(placeRecord(spec), dir, inside);
    }
    if (this.#confines) await this.#writeProfile(spec, mounts, shown);
  }

  /** The clone's directories are where the spec says, with nothing laid over them. */
  async #undo(spec: SandboxSpec): Promise<void> {
    await putBack(placeRecord(spec), () => this.killAll(spec));
    await takeAway(overlayRecord(spec));
    await removeMountPoints(spec);
  }

  async #writeProfile(
    spec: SandboxSpec,
    mounts: readonly Mount[],
    shown: readonly Shown[],
  ): Promise<void> {
    const directories = mounts.filter(({ source }) => dirname(source) !== secretsDir(spec));
    const real = (paths: readonly string[]) => Promise.all(paths.map((path) => realpath(path)));
    const profile = sandboxProfile({
      writable: await real([
        ...shown.map(({ inside }) => inside),
        ...directories.flatMap(({ source, readOnly }) => (readOnly ? [] : [source])),
      ]),
      readOnly: await real(
        directories.flatMap(({ source, readOnly }) => (readOnly ? [source] : [])),
      ),
      network: spec.network,
    });
    await writeFile(profilePath(spec), profile, { mode: 0o644 });
  }

  async launch(spec: SandboxSpec, command: SandboxCommand): Promise<Launch> {
    assertStartable(command);
    const user = await this.#known(spec);
    const { prefixDir, prefixPath } = homeFiles(spec);
    const prefix = this.#kind.homes === undefined ? prefixDir : prefixPath;
    const seen = { home: user.home, prefix, tmp: '', user: user.name, path: agentPath() };
    const {
      TMPDIR: _,
      [WORKER_VARIABLE]: mark,
      ...before
    } = commandEnvironment(spec, { ...command, env: {} }, seen);
    const start = await writeStartFile(
      spec,
      {
        ...command,
        env: { ...command.env, ...(mark === undefined ? {} : { [WORKER_VARIABLE]: mark }) },
      },
      {
        before,
        after: { OBUILDER_SECRETS_DIR: secretsDir(spec) },
        dir: join(user.home, command.workDir),
        owner: { uid: user.uid, gid: user.uid },
      },
    );
    const confined = this.#confines
      ? [
          'sandbox-exec',
          '-f',
          profilePath(spec),
          '/bin/sh',
          '-c',
          'trap : TERM; "$@"; exit $?',
          'sh',
        ]
      : [];
    const argv = ['sudo', '-n', 'su', '-l', user.name, '-c', '. "$0" || exit 125; "$@"; exit $?'];
    return {
      file: '/bin/sh',
      args: wrapped([...argv, start, ...confined, ...command.argv], { gated: false, ulimits: {} }),
      env: launcherEnvironment(spec),
      cwd: '/',
    };
  }

  async terminate(spec: SandboxSpec): Promise<void> {
    const uid = await uidOf(spec.name);
    if (uid !== undefined) await tool('pkill', ['-TERM', '-U', String(uid)]);
  }

  async killReason(): Promise<string | undefined> {
    return undefined;
  }

  async killAll(spec: SandboxSpec): Promise<void> {
    const uid = await uidOf(spec.name);
    // What is about to become the user first: it would start more.
    await endProcesses(spec, undefined);
    if (uid !== undefined) await killUser(uid);
  }

  async destroy(spec: SandboxSpec): Promise<void> {
    const user = await readJson<BuildUser>(userRecord(spec));
    // A reboot forgets who has which uid; unless another took it, it is taken again to clean up.
    if (user !== undefined) await this.#claimAgain(spec, user.uid);
    await this.killAll(spec);
    const uid = await uidOf(spec.name);
    await this.#undo(spec);
    if (uid !== undefined && user !== undefined) {
      await removeTemporary(uid);
      await cleanSharedPlaces(uid);
      await deleteUser(user.name);
    }
    for (const left of [profilePath(spec), join(spec.tmpDir, 'start'), userRecord(spec)]) {
      await removeTree(left);
    }
    await releaseUid(spec.name);
  }

  async #claimAgain(spec: SandboxSpec, uid: number): Promise<void> {
    try {
      await claimUid(spec.name, { first: uid, last: uid });
    } catch (error) {
      if (!(error instanceof SandboxError) || error.code !== 'busy') throw error;
    }
  }

  #userOf(spec: SandboxSpec, uid: number): BuildUser {
    const name = `mac${uid}`;
    const { homes } = this.#kind;
    const home = homes === undefined ? homeFiles(spec).homeDir : join(homes, name);
    return { name, uid, home };
  }

  #shown(spec: SandboxSpec, user: BuildUser): Shown[] {
    const { homeDir, prefixDir, prefixPath } = homeFiles(spec);
    const prefix = this.#kind.homes === undefined ? prefixDir : prefixPath;
    return [
      { inside: user.home, dir: homeDir },
      { inside: prefix, dir: prefixDir },
    ];
  }

  async #known(spec: SandboxSpec): Promise<BuildUser> {
    const user = await readJson<BuildUser>(userRecord(spec));
    if (user !== undefined && (await uidOf(spec.name)) === user.uid) return user;
    throw new SandboxError('not_prepared', `${spec.name} has no user; it was not prepared`);
  }
}

/** The user's own temporary directory, wherever the system has it. */
async function removeTemporary(uid: number): Promise<void> {
  const args = ['-n', '-u', `#${uid}`, 'getconf', 'DARWIN_USER_TEMP_DIR'];
  const { code, stdout } = await tool('sudo', args);
  if (code !== 0 || !stdout.startsWith('/')) return;
  const dir = dirname(stdout.trim());
  try {
    if ((await lstat(dir)).uid === uid) await removeTree(dir);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function userRecord(spec: SandboxSpec): string {
  return join(spec.tmpDir, 'user.json');
}

function placeRecord(spec: SandboxSpec): string {
  return join(spec.tmpDir, 'places.json');
}

function overlayRecord(spec: SandboxSpec): string {
  return join(spec.tmpDir, 'overlays.json');
}

function profilePath(spec: SandboxSpec): string {
  return join(spec.tmpDir, 'profile.sb');
}
