import { buildSandbox, type BuildPlace } from '../../agent/builds/build-sandbox.ts';
import { processDriver } from '../../drivers/sandbox/process.ts';
import type { SandboxDriver } from '../../drivers/sandbox/sandbox.ts';
import { entryPoint } from '../../platform/entry.ts';

/** What keepers and agents run builds in. */
export function builderDriver(place: BuildPlace): Pick<SandboxDriver, 'open'> {
  return {
    open: async () => buildSandbox(await processDriver.open(), entryPoint('cli/build-job'), place),
  };
}
