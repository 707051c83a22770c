import type { SshAccess } from '../../platform/ssh/access.ts';
import { SshGuest } from './ssh-guest.ts';
import { VmError, type VmCommand, type VmExit, type VmInfo } from './vm.ts';

/** What drivers whose guests are reached by SSH have in common. */
export abstract class SshVms {
  /** Throws `VmError` `missing`. */
  protected abstract mustExist(name: string): Promise<void>;
  protected abstract stateNow(name: string): Promise<VmInfo['state']>;
  /** The way in, or why there is none. */
  protected abstract findAccess(name: string): Promise<SshAccess | string>;

  async access(name: string): Promise<SshAccess> {
    await this.mustExist(name);
    const state = await this.stateNow(name);
    if (state !== 'running') throw new VmError('exec_failed', `VM ${name} is ${state}`);
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
