import {
  SandboxError,
  type HomeFiles,
  type Sandbox,
  type SandboxCommand,
  type SandboxSpec,
} from './sandbox.ts';

/** Throws `unsupported` for the first thing in the spec that the sandbox declares it lacks. */
export function assertSupported(sandbox: Sandbox, spec: SandboxSpec): void {
  const { files, network, mounts } = sandbox.capabilities;
  const lacking = !files[spec.files.kind]
    ? `run over ${spec.files.kind === 'root' ? 'a root file system' : 'a home directory'}`
    : !network[spec.network]
      ? `give a command ${spec.network === 'none' ? 'no network' : 'the host’s network'}`
      : spec.mounts.length > 0 && !mounts
        ? 'mount caches and secrets'
        : undefined;
  if (lacking === undefined) return;
  throw new SandboxError(
    'unsupported',
    `the sandbox ${sandbox.name} cannot ${lacking}; \`pomona doctor\` lists others`,
  );
}

/** The files of a spec for a sandbox that takes no others. */
export function homeFiles(spec: SandboxSpec): HomeFiles {
  if (spec.files.kind === 'home') return spec.files;
  throw new SandboxError('unsupported', `${spec.name} has a root file system, not a home`);
}

/** Throws `bad_command` for what no system could start. */
export function assertStartable(command: SandboxCommand): void {
  const bad = [...command.argv, ...Object.entries(command.env).flat(), command.workDir].find(
    (text) => text.includes('\0'),
  );
  if (bad !== undefined) {
    throw new SandboxError('bad_command', 'a command, its environment and directory hold no NUL');
  }
  const name = Object.keys(command.env).find((key) => key === '' || key.includes('='));
  if (name !== undefined) {
    throw new SandboxError('bad_command', `${JSON.stringify(name)} cannot name a variable`);
  }
  if (command.argv.length === 0) throw new SandboxError('bad_command', 'the command is empty');
}
