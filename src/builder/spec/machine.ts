import { parseSize } from '../../protocol/values.ts';
import type { Machine } from './spec.ts';

/** What can be said of a machine, and what is expected, for errors. */
export const MACHINE_FIELDS = ['driver', 'guest', 'user', 'cpus', 'memory', 'disk'] as const;

type Field = (typeof MACHINE_FIELDS)[number];

const GIB = 2 ** 30;
const MOST_CPUS = 1_024;

/** One field of a machine, from its text; otherwise what was expected. */
export function machineField(field: Field, text: string): Machine | string {
  switch (field) {
    case 'driver':
      return /^[a-z][a-z0-9-]*$/.test(text) ? { driver: text } : 'a VM driver such as tart';
    case 'guest':
      return text === 'macos' || text === 'linux' ? { guest: text } : 'macos or linux';
    case 'user':
      return /^[A-Za-z_][\w.-]*$/.test(text) ? { user: text } : 'the name of a user';
    case 'cpus': {
      const cpus = /^\d+$/.test(text) ? Number(text) : 0;
      return cpus >= 1 && cpus <= MOST_CPUS ? { cpus } : 'a number of CPUs';
    }
    case 'memory': {
      const memoryBytes = parseSize(text);
      return memoryBytes === undefined ? 'a size such as 8GiB' : { memoryBytes };
    }
    case 'disk': {
      const diskBytes = parseSize(text);
      return diskBytes === undefined ? 'a size such as 80GiB' : { diskBytes };
    }
  }
}

/** A machine's fields as texts, as `machineField` reads them. */
export function machineTexts(machine: Machine): [string, string][] {
  const { driver, guest, user, cpus, memoryBytes, diskBytes } = machine;
  const texts: [Field, string | undefined][] = [
    ['driver', driver],
    ['guest', guest],
    ['user', user],
    ['cpus', cpus?.toString()],
    ['memory', memoryBytes === undefined ? undefined : sizeText(memoryBytes)],
    ['disk', diskBytes === undefined ? undefined : sizeText(diskBytes)],
  ];
  return texts.flatMap(([name, text]): [string, string][] =>
    text === undefined ? [] : [[name, text]],
  );
}

function sizeText(bytes: number): string {
  return bytes % GIB === 0 ? `${bytes / GIB}GiB` : `${bytes}B`;
}
