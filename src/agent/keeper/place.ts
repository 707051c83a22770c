import { once } from 'node:events';
import type {
  Launch,
  Sandbox,
  SandboxCommand,
  SandboxSpec,
} from '../../drivers/sandbox/sandbox.ts';
import type { SshAccess } from '../../platform/ssh/access.ts';
import { LOST_SIGNAL, remoteLaunch } from '../../platform/ssh/remote-command.ts';
import { startCommand } from '../../platform/start-command.ts';

/** Where a keeper runs the commands of its worker. */
export interface Place {
  /** How to start a command in it. */
  launch(command: SandboxCommand): Promise<Launch>;
  /** Asks what the last command started to end. Does not wait. */
  terminate(): Promise<void>;
  /** Ends what the last command left, as far as it can be found. */
  killAll(): Promise<void>;
  /**
   * Why the system ended a command, where that can be known. Throws when the command was lost with
   * the place itself, so that nobody knows how it ended.
   */
  killReason(signal: NodeJS.Signals | null): Promise<string | undefined>;
}

/** In a sandbox of this host. */
export function sandboxPlace(sandbox: Sandbox, environment: SandboxSpec): Place {
  return {
    launch: (command) => sandbox.launch(environment, command),
    terminate: () => sandbox.terminate(environment),
    killAll: () => sandbox.killAll(environment),
    killReason: () => sandbox.killReason(environment),
  };
}

/** Below the home of the guest's user: the process group of the last command. */
const GROUP_FILE = '.pomona-command';

/** In a virtual machine, which is thrown away with whatever else runs in it. */
export function guestPlace(access: SshAccess): Place {
  const signal = async (name: 'TERM' | 'KILL') => {
    const script = `kill -${name} "-$(cat ${GROUP_FILE})"`;
    const argv = ['sh', '-c', script];
    const child = await startCommand(remoteLaunch(access, { argv, env: {}, workDir: '.' }));
    child.stdout?.resume();
    // No such group any more, or no such guest: then nothing of it is left.
    await once(child, 'exit');
  };
  return {
    launch: async ({ argv, env, workDir }) =>
      remoteLaunch(access, { argv, env, workDir, groupFile: GROUP_FILE }),
    terminate: () => signal('TERM'),
    killAll: () => signal('KILL'),
    async killReason(killedBy) {
      if (killedBy === LOST_SIGNAL)
        throw new Error('the connection to its virtual machine was lost');
      return undefined;
    },
  };
}
