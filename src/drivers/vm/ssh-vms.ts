import type { SshAccess } from '../../platform/ssh/access.ts';
import { sshAnswers } from './ladder.ts';
import { SshGuest } from './ssh-guest.ts';
import { VmError, type VmCommand, type VmExit, type VmInfo } from './vm.ts';

/** What drivers whose guests are reached by SSH have in common. */
export abstract class SshVms {
  /** Throws `VmError` `missing`. */
  protected abstract mustExist(name: string): Promise<void>;
  protected abstract stateNow(name: string): Promise<VmInfo['state']>;
  /** The way in, or why there is none. */
  protected abstract findAccess(name: string): Promise<SshAccess | string>;

  /** Commands run in it. */
  protected abstract markBooted(name: string): Promise<void>;
  /** Puts the driver's key into the guest where that is possible; else what to do. */
  protected abstract letIn(name: string): Promise<string | undefined>;

  /** As `VmMaking` has it. */
  protected async reach(name: string, signal: AbortSignal): Promise<string | undefined> {
    await this.mustExist(name);
    if ((await this.stateNow(name)) === 'stopped') return 'it is switched off';
    const access = await this.findAccess(name);
    if (typeof access === 'string') return `it has no address yet (${access})`;
    const silent = await sshAnswers(access.host, access.port);
    if (silent !== undefined) return `nothing listens for SSH: switch on Remote Login (${silent})`;
    const guest = new SshGuest(access);
    let matter = await guest.look(signal);
    if (matter !== undefined) {
      const hint = await this.letIn(name);
      matter = hint === undefined ? await guest.look(signal) : `${matter}; ${hint}`;
    }
    if (matter !== undefined) return `SSH lets nobody in: ${matter}`;
    await this.markBooted(name);
    return undefined;
  }

  async access(name: string): Promise<SshAccess> {
    await this.mustExist(name);
    const state = await this.stateNow(name);
    if (state !== 'running') throw new VmError('exec_failed', `VM ${name} is ${state}`);
    return this.accessNow(name);
  }

  /** The way in, whatever state it is in. Throws `VmError`. */
  protected async accessNow(name: string): Promise<SshAccess> {
    const access = await this.findAccess(name);
    if (typeof access === 'string') throw new VmError('exec_failed', `VM ${name}: ${access}`);
    return access;
  }

  exec(name: string, command: VmCommand, signal: AbortSignal): Promise<VmExit> {
    return this.#inGuest(name, (guest) => guest.exec(command, signal));
  }

  copyIn(name: string, dir: string, guestDir: string, signal: AbortSignal): Promise<void> {
    return this.#inGuest(name, (guest) => guest.copyIn(dir, guestDir, signal));
  }

  copyOut(name: string, guestDir: string, dir: string, signal: AbortSignal): Promise<void> {
    return this.#inGuest(name, (guest) => guest.copyOut(guestDir, dir, signal));
  }

  async #inGuest<T>(name: string, work: (guest: SshGuest) => Promise<T>): Promise<T> {
    await this.mustExist(name);
    try {
      return await work(new SshGuest(await this.access(name)));
    } catch (cause) {
      if (await this.#isThere(name)) throw cause;
      throw new VmError('missing', `VM ${name} was destroyed`, { cause });
    }
  }

  async #isThere(name: string): Promise<boolean> {
    try {
      await this.mustExist(name);
      return true;
    } catch (error) {
      if (error instanceof VmError && error.code === 'missing') return false;
      throw error;
    }
  }
}
