import type {
  Launch,
  Sandbox,
  SandboxCommand,
  SandboxDriver,
  SandboxSpec,
} from '../../drivers/sandbox/sandbox.ts';
import { tool } from '../../platform/tool.ts';

/** Environment variable that has the build's order and its secrets' values, as JSON. */
export const BUILD_ORDER_VARIABLE = 'POMONA_BUILD_ORDER';

/** What workers of the kind `build` run in place of the sandbox of a pool. */
export const BUILD_SANDBOX = 'build';

/** Where a host builds. Plain data: keepers get it with their orders. */
export interface BuildPlace {
  /** `DRIVER:PLACE`. */
  readonly store: string;
  /** Directory of the host's images. */
  readonly imagesDir: string;
}

/** What an agent needs to build. */
export interface HostBuilder {
  readonly place: BuildPlace;
  /** Name of the store's driver. */
  readonly driver: string;
  readonly sandbox: Pick<SandboxDriver, 'open'>;
  /** `HostBuilds.hints`. */
  hints(): readonly string[];
}

/** The program that builds: it takes the place, as JSON, as its last argument. */
export interface BuildProgram {
  readonly file: string;
  readonly args: readonly string[];
}

/** Commands that a worker needs to get its source, which holds no program of the job's. */
const OWN_COMMANDS: ReadonlySet<string> = new Set(['mkdir', 'tar']);
/** Removing what many steps left. */
const RECOVER_MS = 300_000;

/**
 * What a build's worker runs: the program that builds, as the agent's own user, and nothing that the
 * job names. The steps of the build run in sandboxes of their own, which that program makes.
 */
export function buildSandbox(plain: Sandbox, program: BuildProgram, place: BuildPlace): Sandbox {
  const args = [...program.args, JSON.stringify(place)];
  return {
    name: BUILD_SANDBOX,
    capabilities: plain.capabilities,
    prepare: (spec) => plain.prepare(spec),
    launch: (spec: SandboxSpec, command: SandboxCommand): Promise<Launch> => {
      const order = command.env[BUILD_ORDER_VARIABLE];
      if (order !== undefined) {
        const env = { [BUILD_ORDER_VARIABLE]: order };
        return plain.launch(spec, { ...command, env, argv: [program.file, ...args] });
      }
      if (OWN_COMMANDS.has(command.argv[0] ?? '')) return plain.launch(spec, command);
      throw new Error('a worker that builds runs no other commands');
    },
    terminate: (spec) => plain.terminate(spec),
    killReason: (spec) => plain.killReason(spec),
    killAll: (spec) => plain.killAll(spec),
    async destroy(spec) {
      await plain.destroy(spec);
      // A builder that was killed leaves steps running, which the next one ends.
      const { code, why } = await tool(program.file, [...args, '--recover'], {
        timeoutMs: RECOVER_MS,
      });
      if (code !== 0) throw new Error(`what a build left cannot be removed: ${why}`);
    },
  };
}
