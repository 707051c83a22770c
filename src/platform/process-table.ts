import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ON_LINUX = process.platform === 'linux';

/** Processes looked at before others get their turn: about a millisecond. */
const READ_AT_ONCE = 32;

let knownBoot: Promise<string> | undefined;

/** What tells one start of the machine from every other. */
export function bootId(): Promise<string> {
  knownBoot ??= ON_LINUX
    ? readFile('/proc/sys/kernel/random/boot_id', 'utf8').then((text) => text.trim())
    : run('sysctl', ['-n', 'kern.bootsessionuuid']).then(({ stdout }) => stdout.trim());
  return knownBoot;
}

/**
 * What tells one process from every other, also from a later one with the same pid: the pid with
 * the time it started (and, on Linux, the boot). Undefined when there is no such process, or only
 * its zombie.
 */
export async function processIdentity(pid: number): Promise<string | undefined> {
  if (!ON_LINUX) return identityByPs(pid);
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command in parentheses may hold anything; what follows its last ")" is regular.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${pid}@${fields[19]}/${await bootId()}`;
  } catch {
    return undefined;
  }
}

async function identityByPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await run('ps', ['-o', 'state=,lstart=', '-p', String(pid)]);
    const line = stdout.trim();
    return line === '' || line.startsWith('Z') ? undefined : `${pid}@${line.slice(2).trim()}`;
  } catch {
    return undefined;
  }
}

/** Is the very process that had this identity still there? */
export async function isAlive(identity: string): Promise<boolean> {
  return (await processIdentity(Number.parseInt(identity, 10))) === identity;
}

/** Sends a signal to the process of that identity; false when it is gone. */
export async function signalProcess(identity: string, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isAlive(identity))) return false;
  try {
    process.kill(Number.parseInt(identity, 10), signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

export interface ProcessQuery {
  /** `NAME=value` in the environment that the process was started with. */
  readonly environment?: string;
  /** Real user id. */
  readonly uid?: number;
  /** A whole word of the command line. */
  readonly argument?: string;
}

/**
 * Pids of living processes that match any part of the query. The environment is readable on Linux
 * for one's own processes (all, for root); elsewhere by `ps -E` with the same limits.
 */
export async function findProcesses(query: ProcessQuery): Promise<number[]> {
  return ON_LINUX ? findInProc(query) : findByPs(query);
}

async function findInProc(query: ProcessQuery): Promise<number[]> {
  const found: number[] = [];
  const wanted = query.environment === undefined ? undefined : Buffer.from(query.environment);
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  for (const [index, pid] of pids.entries()) {
    if (pid === process.pid) continue;
    // The kernel answers from memory: handing each read to another thread takes ten times longer.
    // Others get their turn in between.
    if (index % READ_AT_ONCE === READ_AT_ONCE - 1) await nextTurn();
    try {
      if (matches(pid, query, wanted)) found.push(pid);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // It ended meanwhile, or belongs to someone else: not ours.
      if (code !== 'ENOENT' && code !== 'ESRCH' && code !== 'EACCES' && code !== 'EPERM')
        throw error;
    }
  }
  return found;
}

function matches(pid: number, query: ProcessQuery, environment: Buffer | undefined): boolean {
  if (query.uid !== undefined) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const dead = /^State:\t[ZX]/m.test(status);
    if (!dead && new RegExp(`^Uid:\\t${query.uid}\\t`, 'm').test(status)) return true;
  }
  if (query.argument !== undefined) {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    if (words.includes(query.argument)) return true;
  }
  if (environment === undefined) return false;
  const content = readFileSync(`/proc/${pid}/environ`);
  const at = content.indexOf(environment);
  const end = at + environment.length;
  return (
    at >= 0 && (at === 0 || content[at - 1] === 0) && (end === content.length || content[end] === 0)
  );
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function findByPs(query: ProcessQuery): Promise<number[]> {
  const { stdout } = await run('ps', ['-axwwE', '-o', 'pid=,ruid=,command='], {
    maxBuffer: 64 * 2 ** 20,
  });
  const found: number[] = [];
  for (const line of stdout.split('\n')) {
    const match = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line);
    if (match === null) continue;
    const words = ` ${match[3]} `;
    const hit =
      (query.uid !== undefined && Number(match[2]) === query.uid) ||
      (query.argument !== undefined && words.includes(` ${query.argument} `)) ||
      (query.environment !== undefined && words.includes(` ${query.environment} `));
    if (hit && Number(match[1]) !== process.pid) found.push(Number(match[1]));
  }
  return found;
}
