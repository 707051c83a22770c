import { mkdir } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VmError } from '../../drivers/vm/vm.ts';
import { removeTree } from '../../platform/tree.ts';
import { BuildError } from '../build-error.ts';
import type { Caches } from '../caches.ts';
import { copyInto } from '../copy/copy-into.ts';
import type { StepEnd } from '../execute.ts';
import { type CacheUse, type FinalizeOp, type Machine, type ManualOp } from '../spec/spec.ts';
import { cloneName } from '../state/snapshot-ids.ts';
import { joined, type StepContext } from '../step-context.ts';
import type { CopyOrder, RunOrder, StepOrder } from '../step-order.ts';
import { BuildVms, machineName } from './build-vms.ts';
import { Guest } from './guest.ts';
import { FINALIZE, FORGET_SECRETS, PUT_FILES, SHUT_DOWN } from './guest-scripts.ts';
import { keepCaches, placeSecrets, type CacheInGuest } from './caches-and-secrets.ts';
import { MACHINE_DIR, type AskPerson, type MakingDriver, type Machines } from './machines.ts';

/** For a guest to shut down by itself. */
const GRACE_MS = 120_000;
/** Between asking whether what a person does is done. */
const CHECK_EVERY_MS = 2_000;
/** Disk of a system that is installed when the recipe says nothing: 80 GiB. */
const DISK_BYTES = 80 * 2 ** 30;
const COPIED = '.pomona-copy';

interface Parts {
  readonly machines: Machines;
  readonly caches: Caches;
  readonly owner: string;
  readonly stateDir: string;
  readonly now: () => number;
}

/** In what a step's machine is made. */
export interface MachineOrder {
  readonly machine: Machine;
  /** Machines of one text look the same to the network. */
  readonly identity: string;
}

export type MachineStepOrder<Op> = StepOrder & MachineOrder & { readonly op: Op };

/**
 * Makes steps in virtual machines: a machine is cloned from the files in `dir`, which only this step
 * has, started, worked in, shut down and written back to them. Nothing of it is left but that.
 */
export class MachineSteps {
  readonly #parts: Parts;
  readonly #vms: BuildVms;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#vms = new BuildVms(parts.machines.recordsDir);
  }

  async run(order: RunOrder & MachineOrder, dir: string): Promise<StepEnd> {
    return this.#inMachine(order, dir, async (guest) => {
      const { op, context, log, signal, secrets } = order;
      const own = join(this.#parts.stateDir, 'tmp', cloneName(order.id));
      const caches: CacheInGuest[] = [];
      try {
        await removeTree(own);
        for (const [number, use] of op.caches.entries()) {
          caches.push(await this.#lease(order, use, number));
        }
        for (const { target, lease } of caches) await guest.copyIn(lease.dir, target, signal);
        const given = new Map(op.secrets.map(({ id }) => [id, secrets.get(id) ?? Buffer.alloc(0)]));
        const secretsDir = await placeSecrets(guest, order, given, own);
        const env = Object.fromEntries(context.env);
        const ending = await guest.run(
          {
            argv: [...context.shell, op.shell],
            env: secretsDir === undefined ? env : { ...env, POMONA_SECRETS_DIR: secretsDir },
            workDir: context.workdir,
            user: userText(context),
            onOutput: (chunk) => log.write(chunk),
          },
          signal,
        );
        if (secretsDir !== undefined) {
          const targets = op.secrets.map(({ target }) => target);
          await guest.script(FORGET_SECRETS, [secretsDir, ...targets], signal);
        }
        if (ending.exitCode === 0) await keepCaches(guest, caches, signal);
        return ending;
      } finally {
        for (const { lease } of caches) await lease.drop();
        await removeTree(own);
      }
    });
  }

  async copy(order: CopyOrder & MachineOrder, dir: string): Promise<StepEnd> {
    const { context, op, signal, id } = order;
    const stage = join(this.#parts.stateDir, 'tmp', cloneName(id));
    await removeTree(stage);
    await mkdir(stage, { recursive: true, mode: 0o700 });
    try {
      const dst = joined(context.workdir, op.dst);
      const whole = op.dst.endsWith('/');
      await copyInto({
        ...{ root: order.root, entries: order.entries, signal, owner: undefined },
        dst: whole ? '/' : `/${basename(dst)}`,
        shown: [{ inside: '/', dir: stage }],
      });
      const into = whole ? dst : posix.dirname(dst);
      return await this.#inMachine(order, dir, async (guest) => {
        const user = userText(context);
        if (user === '') await guest.copyIn(stage, into, signal);
        else {
          await guest.copyIn(stage, COPIED, signal);
          await guest.script(PUT_FILES, [await guest.absolute(COPIED, signal), into], signal, user);
          await guest.script('rm -rf "$1"', [COPIED], signal);
        }
        return { exitCode: 0 };
      });
    } finally {
      await removeTree(stage);
    }
  }

  async finalize(order: MachineStepOrder<FinalizeOp>, dir: string): Promise<StepEnd> {
    return this.#inMachine(order, dir, (guest) =>
      guest.run(
        {
          argv: ['sh', '-c', FINALIZE, 'pomona', ...order.op.paths],
          ...{ env: {}, workDir: '.', user: '' },
          onOutput: (chunk) => order.log.write(chunk),
        },
        order.signal,
      ),
    );
  }

  /**
   * Shows a machine to a person until what is to be done in it is done. When the build ends before, the
   * machine is shut down and kept as it is, for a build that comes to the same step.
   */
  async manual(
    order: MachineStepOrder<ManualOp> & { readonly ask: AskPerson | undefined },
    dir: string,
  ): Promise<StepEnd> {
    const { ask, op, log } = order;
    const { text, check } = op;
    if (ask === undefined) {
      throw new BuildError(
        'needs_person',
        `a person has to do something in the machine: ${text}; build it once by \`pomona image build\``,
      );
    }
    const path = join(dir, MACHINE_DIR);
    const driver = await this.#driver(order, path);
    const name = this.#name(order);
    const there = (await driver.list(name)).length > 0 && (await this.#vms.isKept(name));
    if (there) await log.write('what was done in it by hand before is still there\n');
    else {
      await driver.destroy(name);
      await this.#vms.put(name, { driver: driver.name, owner: this.#parts.owner });
      await this.#clone(driver, order, path);
    }
    const keptSince = this.#parts.now();
    await this.#vms.put(name, { driver: driver.name, owner: this.#parts.owner, keptSince });
    try {
      const screen = await asBuildError(driver.making.show(name));
      const pause = {
        ...{ machine: name, text, ...screen },
        ...(check === undefined ? {} : { check }),
      };
      await log.write(`waiting for a person: ${text}\n`);
      await this.#untilDone(driver, order, (problem, stop) =>
        ask(problem === undefined ? pause : { ...pause, problem }, stop),
      );
      await log.write('it is done; the machine is kept as it is now\n');
      await this.#keep(driver, order, path);
    } catch (error) {
      await driver.stop(name, GRACE_MS);
      throw error;
    }
    await this.#remove(driver, name);
    return { exitCode: 0 };
  }

  /** Installs a system into the directory of a base. */
  async install(order: StepOrder & MachineOrder, ipsw: string, dir: string): Promise<void> {
    const { machine, log, signal } = order;
    const driver = await this.#parts.machines.open(machine.driver ?? '');
    const { install } = driver.making;
    if (install === undefined) {
      throw new BuildError(
        'unsupported',
        `${driver.name} cannot install macOS; use tart or parallels`,
      );
    }
    const name = this.#name(order);
    await driver.destroy(name);
    await this.#vms.put(name, { driver: driver.name, owner: this.#parts.owner });
    try {
      const request = {
        ...{ name, ipsw, limits: limitsOf(machine), diskBytes: machine.diskBytes ?? DISK_BYTES },
        ...(machine.user === undefined ? {} : { user: machine.user }),
        onNote: (text: string) => log.write(`${text}\n`),
      };
      await asBuildError(install.call(driver.making, request, signal));
      const path = join(dir, MACHINE_DIR);
      await mkdir(path, { mode: 0o700 });
      await asBuildError(driver.making.save(name, path, signal));
    } finally {
      await this.#remove(driver, name);
    }
  }

  async #inMachine(
    order: StepOrder & MachineOrder,
    dir: string,
    work: (guest: Guest) => Promise<StepEnd & { readonly exitCode: number }>,
  ): Promise<StepEnd> {
    const path = join(dir, MACHINE_DIR);
    const driver = await this.#driver(order, path);
    const name = this.#name(order);
    await driver.destroy(name);
    await this.#vms.put(name, { driver: driver.name, owner: this.#parts.owner });
    try {
      await this.#clone(driver, order, path);
      await asBuildError(driver.boot(name, order.signal));
      const ending = await asBuildError(work(new Guest(driver, name)));
      if (ending.exitCode === 0) await this.#keep(driver, order, path);
      return ending;
    } finally {
      await this.#remove(driver, name);
    }
  }

  async #clone(driver: MakingDriver, order: StepOrder & MachineOrder, path: string): Promise<void> {
    const { machine, identity, signal } = order;
    const request = {
      ...{ name: this.#name(order), image: { name: 'of this recipe', digest: '' }, path },
      ...{ limits: limitsOf(machine), guest: machine.guest ?? 'macos', identity },
      ...(machine.user === undefined ? {} : { user: machine.user }),
    };
    await asBuildError(driver.clone(request, signal));
  }

  /** Shuts a machine down and writes it back to the files that it was cloned from. */
  async #keep(driver: MakingDriver, order: StepOrder, path: string): Promise<void> {
    const name = this.#name(order);
    await new Guest(driver, name).script(SHUT_DOWN, [], order.signal);
    const begun = performance.now();
    await asBuildError(driver.stop(name, GRACE_MS));
    if (performance.now() - begun >= GRACE_MS) {
      await order.log.write('the guest did not shut down by itself: its power was cut\n');
    }
    await asBuildError(driver.making.save(name, path, order.signal));
  }

  /** Asks again as long as it is not done although it was said to be. */
  async #untilDone(
    driver: MakingDriver,
    order: MachineStepOrder<ManualOp>,
    ask: (problem: string | undefined, stop: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { signal, op } = order;
    const matter = () => this.#matter(driver, order);
    for (let problem: string | undefined; ;) {
      const over = new AbortController();
      const stop = AbortSignal.any([signal, over.signal]);
      const said = ask(problem, stop).catch((error: unknown) => {
        if (!stop.aborted) throw error;
      });
      try {
        if (op.check === undefined) await said;
        else await Promise.race([said, untilNone(matter, stop)]);
      } finally {
        over.abort();
      }
      await said;
      signal.throwIfAborted();
      problem = await matter();
      if (problem === undefined) return;
      // Setting a system up may have switched it off.
      await asBuildError(driver.making.show(this.#name(order)));
    }
  }

  /** Why a machine that a person works in is not done. */
  async #matter(
    driver: MakingDriver,
    order: MachineStepOrder<ManualOp>,
  ): Promise<string | undefined> {
    const { signal, op } = order;
    const name = this.#name(order);
    const unreached = await asBuildError(driver.making.reach(name, signal));
    if (unreached !== undefined || op.check === undefined) return unreached;
    try {
      await new Guest(driver, name).script(op.check, [], signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return `the check fails: ${(error as Error).message}`;
    }
  }

  async #remove(driver: MakingDriver, name: string): Promise<void> {
    await driver.destroy(name);
    await this.#vms.remove(name);
  }

  async #driver({ machine }: MachineOrder, path: string): Promise<MakingDriver> {
    const { machines } = this.#parts;
    return machines.open(machine.driver ?? (await machines.driverOf(path)));
  }

  #name({ id }: StepOrder): string {
    return machineName(this.#parts.stateDir, id);
  }

  async #lease(order: RunOrder, cache: CacheUse, number: number): Promise<CacheInGuest> {
    const { context, trust, signal, id } = order;
    const options = { trust, readOnly: false, cloneName: `${cloneName(id)}-cache-${number}` };
    const lease = await this.#parts.caches.lease(cache.id, options, signal);
    return { target: joined(context.workdir, cache.target), lease };
  }
}

async function untilNone(
  matter: () => Promise<string | undefined>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted && (await matter()) !== undefined) {
    await sleep(CHECK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

function limitsOf({ cpus, memoryBytes }: Machine) {
  return {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  };
}

/** As the guest's script takes it; empty: whoever is logged in. */
function userText({ user }: StepContext): string {
  return 'name' in user ? user.name : `#${user.uid}:${user.gid}`;
}

async function asBuildError<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof VmError)) throw error;
    throw new BuildError('machine', error.message, { cause: error });
  }
}
