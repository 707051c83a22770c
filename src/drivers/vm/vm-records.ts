import { mkdir, open, readFile, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import { VmError } from './vm.ts';

const ENDS = ['json', 'log', 'booted', 'known_host'] as const;
const SAID_CHARACTERS = 500;

/**
 * What a driver keeps of each machine beside what its hypervisor does, in files that begin with the
 * machine's name:
 *
 * | end        | what                                                            |
 * |------------|-----------------------------------------------------------------|
 * | json       | the driver's own record; written when the machine is whole      |
 * | log        | what the process that runs it printed                           |
 * | booted     | which run of it came to run a command                           |
 * | known_host | the guest's own SSH key                                         |
 */
export class VmRecords<Record extends object> {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Undefined for what is not there, not whole, or being destroyed. */
  find(name: string): Promise<Record | undefined> {
    return readJson<Record>(this.#path(name, 'json'));
  }

  /** Throws `VmError` `missing`. */
  async get(name: string): Promise<Record> {
    const record = await this.find(name);
    if (record === undefined) throw new VmError('missing', `there is no VM ${name}`);
    return record;
  }

  async put(name: string, record: Record): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await writeJson(this.#path(name, 'json'), record, { flush: true });
  }

  /** From now on it is none: whoever waits for it sees that. */
  forget(name: string): Promise<void> {
    return rm(this.#path(name, 'json'), { force: true });
  }

  async remove(name: string): Promise<void> {
    for (const end of ENDS) await rm(this.#path(name, end), { force: true });
  }

  /** For what a new run of it prints; nothing of an earlier run counts any more. */
  async newRun(name: string): Promise<FileHandle> {
    for (const end of ['booted', 'known_host'] as const) {
      await rm(this.#path(name, end), { force: true });
    }
    return open(this.#path(name, 'log'), 'w', 0o600);
  }

  /** The end of what its run printed. */
  async printed(name: string): Promise<string> {
    const text = await readFile(this.#path(name, 'log'), 'utf8').catch(() => '');
    return text.trim().slice(-SAID_CHARACTERS);
  }

  async setBooted(name: string, run: string): Promise<void> {
    await writeFile(this.#path(name, 'booted'), run);
  }

  async hasBooted(name: string, run: string): Promise<boolean> {
    return (await readFile(this.#path(name, 'booted'), 'utf8').catch(() => '')) === run;
  }

  knownHostsFile(name: string): string {
    return this.#path(name, 'known_host');
  }

  #path(name: string, end: (typeof ENDS)[number]): string {
    return join(this.#dir, `${name}.${end}`);
  }
}
