import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BuildError } from '../../builder/build-error.ts';
import { sweepMachines } from '../../builder/machines/build-vms.ts';
import type { MakingDriver, Machines } from '../../builder/machines/machines.ts';
import { VM_DRIVERS } from '../../drivers/vm/drivers.ts';
import { vmDriverOf } from '../../drivers/vm/files.ts';
import { nearest } from '../../domain/nearest.ts';
import type { Logger } from '../../platform/logger.ts';

const SWEEP_EVERY_MS = 600_000;

/** The virtual machines of this host for builds, by the drivers that its agent has them by. */
export function machinesOf(agentDir: string): Machines {
  const vmsDir = join(agentDir, 'vms');
  const opened = new Map<string, MakingDriver>();
  return {
    recordsDir: join(agentDir, 'recipe-machines'),
    async open(name) {
      const known = opened.get(name);
      if (known !== undefined) return known;
      const entry = VM_DRIVERS[name];
      if (entry === undefined) {
        const names = Object.keys(VM_DRIVERS);
        const near = nearest(name, names);
        const hint = near === undefined ? '' : `; did you mean ${near}?`;
        throw unsupported(`there is no VM driver ${name}${hint} (there are: ${names.join(', ')})`);
      }
      const { available, detail } = await entry.probe();
      if (!available) throw unsupported(`VM driver ${name} does not work here: ${detail}`);
      const dir = join(vmsDir, name);
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const driver = entry.open(dir);
      const { making } = driver;
      if (making === undefined) throw unsupported(`VM driver ${name} makes no images`);
      const usable = Object.assign(driver, { making });
      opened.set(name, usable);
      return usable;
    },
    async driverOf(dir) {
      const name = vmDriverOf(await readdir(dir));
      if (name === undefined) throw unsupported('the base has lost its disk');
      return name;
    },
  };
}

/** As long as an agent runs, removes what builds that are gone left of machines. */
export class MachineSweeps {
  readonly #timer: NodeJS.Timeout;

  constructor(agentDir: string, log: Logger) {
    const look = () =>
      void sweepMachines(machinesOf(agentDir), Date.now()).catch((error: unknown) => {
        log.log('warn', 'machines of builds that are gone cannot be removed', { error });
      });
    this.#timer = setInterval(look, SWEEP_EVERY_MS);
    look();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function unsupported(message: string): BuildError {
  return new BuildError('unsupported', message);
}
