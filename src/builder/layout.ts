import { join, posix } from 'node:path';
import type { SandboxFiles } from '../drivers/sandbox/sandbox.ts';
import { PREFIX_PATH } from '../platform/prefix-path.ts';
import type { Shown } from '../platform/inside-path.ts';
import type { BaseConfig } from './bases.ts';
import { BuildError } from './build-error.ts';
import type { User } from './spec/spec.ts';

/** What stands for the home where a sandbox shows it in another place each time. */
const ANY_HOME = '/home/worker';

/** How the files of a result lie in its directory, by the layout of its base. */
export class Layout {
  readonly config: BaseConfig;
  readonly #home: string;

  /** `homePath`: where commands see their home, with bases that have one; undefined: it varies. */
  constructor(config: BaseConfig, homePath: string | undefined) {
    this.config = config;
    this.#home = homePath ?? ANY_HOME;
  }

  get kind(): BaseConfig['layout'] {
    return this.config.layout;
  }

  /** Where a build begins. */
  get initialWorkdir(): string {
    if (this.kind === 'machine') return '.';
    return this.kind === 'root' ? '/' : this.#home;
  }

  /** Who begins: in a machine whoever it lets in. */
  get initialUser(): User {
    return this.kind === 'machine' ? { name: '' } : { uid: 0, gid: 0 };
  }

  files(dir: string): SandboxFiles {
    if (this.kind === 'root') return { kind: 'root', rootDir: join(dir, 'rootfs') };
    return {
      kind: 'home',
      homeDir: join(dir, 'home'),
      prefixDir: join(dir, 'prefix'),
      prefixPath: this.config.prefixPath ?? PREFIX_PATH,
    };
  }

  /** What a `copy` may write to. */
  shown(dir: string): Shown[] {
    const files = this.files(dir);
    if (files.kind === 'root') return [{ inside: '/', dir: files.rootDir }];
    return [
      { inside: this.#home, dir: files.homeDir },
      { inside: files.prefixPath, dir: files.prefixDir },
    ];
  }

  /**
   * The directory that sources of a copy from this build are named from. Throws `BuildError`
   * `unsupported`.
   */
  copyRoot(dir: string): string {
    if (this.kind === 'machine') {
      throw new BuildError(
        'unsupported',
        'nothing can be copied from a build in a virtual machine',
      );
    }
    return this.kind === 'root' ? join(dir, 'rootfs') : join(dir, 'home');
  }

  /** A working directory as sandboxes want it. Throws `BuildError` `unsupported`. */
  workDir(workdir: string): string {
    if (this.kind === 'root') return workdir;
    const relative = posix.relative(this.#home, workdir);
    if (relative.startsWith('..')) {
      throw new BuildError(
        'unsupported',
        `over a home, commands run below ${this.#home}, not in ${workdir}`,
      );
    }
    return relative === '' ? '.' : relative;
  }
}
