import { posix } from 'node:path';
import { DEFAULT_SHELL, type CopyOp, type Op, type RunOp, type Spec, type User } from './spec.ts';

export interface DockerfileOptions {
  /** With what only BuildKit understands: caches, secrets, networks, excludes. */
  readonly buildkit: boolean;
}

export interface Dockerfile {
  readonly text: string;
  /** What the spec says and this Dockerfile does not. */
  readonly left: readonly string[];
}

/** The spec as a Dockerfile that builds the same; nested builds become stages. */
export function specToDockerfile(spec: Spec, options: DockerfileOptions): Dockerfile {
  const writer = new DockerfileWriter(options);
  writer.stage(spec, undefined);
  const syntax = options.buildkit ? '# syntax=docker/dockerfile:1\n' : '';
  return { text: `${syntax}${writer.lines.join('\n')}\n`, left: [...new Set(writer.left)] };
}

/** What counts for the operations that follow. */
interface State {
  shell: readonly string[];
  user: User;
}

class DockerfileWriter {
  readonly lines: string[] = [];
  readonly left: string[] = [];
  readonly #options: DockerfileOptions;
  #stages = 0;

  constructor(options: DockerfileOptions) {
    this.#options = options;
  }

  /** Nested builds first; their names are only known to the spec they are in. */
  stage(spec: Spec, name: string | undefined): void {
    const stages = new Map<string, string>();
    for (const build of spec.builds) {
      this.#stages += 1;
      const stage = `stage${this.#stages}-${build.name.toLowerCase().replaceAll(/[^a-z0-9_.-]/g, '-')}`;
      this.stage(build.spec, stage);
      stages.set(build.name, stage);
      this.lines.push('');
    }
    this.lines.push(`FROM ${spec.from}${name === undefined ? '' : ` AS ${name}`}`);
    this.lines.push(`SHELL ${JSON.stringify(DEFAULT_SHELL)}`);
    const state: State = { shell: DEFAULT_SHELL, user: { uid: 0, gid: 0 } };
    for (const op of spec.ops) this.#op(op, state, stages);
  }

  #op(op: Op, state: State, stages: ReadonlyMap<string, string>): void {
    switch (op.op) {
      case 'comment':
        this.lines.push(...op.text.split(/\r?\n/).map((line) => `# ${line}`));
        return;
      case 'workdir':
        this.lines.push(`WORKDIR ${word(op.dir)}`);
        return;
      case 'shell':
        state.shell = op.argv;
        this.lines.push(`SHELL ${JSON.stringify(op.argv)}`);
        return;
      case 'user':
        state.user = op.user;
        this.lines.push(`USER ${owner(op.user)}`);
        return;
      case 'env':
        this.lines.push(`ENV ${op.name}=${quoted(op.value)}`);
        return;
      case 'run':
        this.#run(op, state);
        return;
      case 'copy':
        this.#copy(op, state, stages);
        return;
      case 'manual':
      case 'finalize':
        this.left.push(`${op.op} is for virtual machines: it is left out`);
        return;
    }
  }

  #run(op: RunOp, state: State): void {
    const flags: string[] = [];
    const ids = 'uid' in state.user ? `,uid=${state.user.uid}` : '';
    if (this.#options.buildkit) {
      for (const { id, target, buildkitOptions } of op.caches) {
        const more = buildkitOptions.map(([name, value]) => `,${name}=${value}`).join('');
        flags.push(`--mount=type=cache,id=${id},target=${target}${ids}${more}`);
      }
      for (const { id, target } of op.secrets) {
        flags.push(`--mount=type=secret,id=${id},target=${target}${ids}`);
      }
      if (!op.network.includes('host')) flags.push('--network=none');
    } else {
      if (op.caches.length > 0) this.left.push('caches need BuildKit: each run starts without');
      if (op.secrets.length > 0) this.left.push('secrets need BuildKit: they are missing');
      if (!op.network.includes('host')) {
        this.left.push('that a run has no network needs BuildKit: all have the default one');
      }
    }
    const command = isPlain(op.shell) ? op.shell : JSON.stringify([...state.shell, op.shell]);
    this.lines.push(['RUN', ...flags, command].join(' '));
  }

  #copy(op: CopyOp, state: State, stages: ReadonlyMap<string, string>): void {
    const flags: string[] = [];
    if (op.from !== undefined) flags.push(`--from=${stages.get(op.from) ?? op.from}`);
    if (!('uid' in state.user) || state.user.uid !== 0 || state.user.gid !== 0) {
      flags.push(`--chown=${owner(state.user)}`);
    }
    if (op.exclude.length > 0 && this.#options.buildkit) {
      flags.push(...op.exclude.map((name) => `--exclude=**/${name}`));
    } else if (op.exclude.length > 0) {
      this.left.push('excludes need BuildKit; put the names into .dockerignore');
    }
    // Docker copies what is in a directory, where the spec says the directory itself.
    const places = op.dst.endsWith('/') && op.src.length === 1 ? this.#into(op) : op.dst;
    if (op.src.length > 1) {
      this.left.push(
        'of several sources Docker copies what is in directories, not these themselves',
      );
    }
    this.lines.push(`COPY ${[...flags, JSON.stringify([...op.src, places])].join(' ')}`);
  }

  /** A file goes into the directory by itself; a directory has to be told its name. */
  #into(op: CopyOp): string {
    const [source = ''] = op.src;
    const name = posix.basename(posix.normalize(source));
    return name === '.' || name === '' ? op.dst : op.dst + name;
  }
}

/** Whether a command stands in a Dockerfile as it is. */
function isPlain(command: string): boolean {
  return /^[^\s[#<-]/.test(command) && !/[\r\n]|<<|\\$/.test(command);
}

function owner(user: User): string {
  return 'name' in user ? user.name : `${user.uid}:${user.gid}`;
}

/** Docker puts variables into these, which specs do not know. */
function word(text: string): string {
  return text.replaceAll(/[\\$]/g, '\\$&');
}

function quoted(text: string): string {
  return `"${text.replaceAll(/[\\"$]/g, '\\$&').replaceAll('\n', '\\\n')}"`;
}
