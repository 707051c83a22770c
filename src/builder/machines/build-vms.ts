import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import { namesIn } from '../../platform/names-in.ts';
import { ownerIsAlive } from '../state/owner.ts';
import { VmError } from '../../drivers/vm/vm.ts';
import { BuildError } from '../build-error.ts';
import type { Machines } from './machines.ts';

/** What a person did in a machine is kept so long for a build that goes on from there. */
const KEPT_MS = 7 * 86_400_000;
/** For the guest to shut down when its build is gone. */
const GRACE_MS = 30_000;

/** A machine that a build made. The record is there before the machine and goes after it. */
interface Record {
  readonly driver: string;
  readonly owner: string;
  /** A person works in it: it outlives its build. Wall-clock milliseconds since when. */
  readonly keptSince?: number;
}

/** Records of the machines that builds made on this host, a file each. */
export class BuildVms {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async put(name: string, record: Record): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await writeJson(this.#path(name), record, { flush: true });
  }

  async all(): Promise<[name: string, Record][]> {
    const found: [string, Record][] = [];
    for (const file of (await namesIn(this.#dir)).filter((each) => each.endsWith('.json'))) {
      const record = await readJson<Record>(join(this.#dir, file));
      if (record !== undefined) found.push([file.slice(0, -'.json'.length), record]);
    }
    return found;
  }

  async isKept(name: string): Promise<boolean> {
    return (await readJson<Record>(this.#path(name)))?.keptSince !== undefined;
  }

  async remove(name: string): Promise<void> {
    await rm(this.#path(name), { force: true });
  }

  #path(name: string): string {
    return join(this.#dir, `${name}.json`);
  }
}

/**
 * Removes the machines of builds that are gone. Those that a person worked in are shut down, and removed
 * when nobody came back to them for a week. What cannot be removed now is looked at another time.
 */
export async function sweepMachines(
  machines: Pick<Machines, 'recordsDir' | 'open'> | undefined,
  now: number,
): Promise<void> {
  if (machines === undefined) return;
  const vms = new BuildVms(machines.recordsDir);
  for (const [name, record] of await vms.all()) {
    if (await ownerIsAlive(record.owner)) continue;
    try {
      const driver = await machines.open(record.driver);
      if (record.keptSince !== undefined && now - record.keptSince < KEPT_MS) {
        await driver.stop(name, GRACE_MS);
        continue;
      }
      await driver.destroy(name);
      await vms.remove(name);
    } catch (error) {
      if (!(error instanceof VmError || error instanceof BuildError)) throw error;
    }
  }
}

/**
 * The name of the machine in which a step is made. It begins otherwise than workers' names, and two
 * stores of one host have other names.
 */
export function machineName(stateDir: string, stepId: string): string {
  const store = createHash('sha256').update(stateDir).digest('hex').slice(0, 8);
  return `recipe-${store}-${stepId.slice(0, 20)}`;
}
