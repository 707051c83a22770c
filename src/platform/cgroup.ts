import { access, constants, mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Limits } from '../domain/worker.ts';
import { isMissing } from './atomic-file.ts';

/**
 * Control groups of workers: `<hierarchy>/pomona/<name>`, in version 2 where its controllers are
 * there, else in the version 1 hierarchies for cpu, memory and pids. Facts: cgroups(7).
 */
interface Hierarchy {
  readonly version: 1 | 2;
  readonly root: string;
  readonly controllers: ReadonlySet<string>;
}

const MOUNT = '/sys/fs/cgroup';
const WANTED = ['cpu', 'memory', 'pids'] as const;
const CPU_PERIOD_US = 100_000;

let known: Promise<readonly Hierarchy[]> | undefined;

/** The hierarchies this process may make groups in; none where it may not. */
export function cgroupHierarchies(): Promise<readonly Hierarchy[]> {
  known ??= findHierarchies();
  return known;
}

/** Which limits groups can enforce here. */
export async function cgroupControllers(): Promise<ReadonlySet<string>> {
  return new Set((await cgroupHierarchies()).flatMap(({ controllers }) => [...controllers]));
}

async function findHierarchies(): Promise<Hierarchy[]> {
  if (process.platform !== 'linux') return [];
  const unified = await readFile(join(MOUNT, 'cgroup.controllers'), 'utf8').catch(() => '');
  const inTwo = WANTED.filter((controller) => unified.split(/\s+/).includes(controller));
  if (inTwo.length > 0) {
    const root = join(MOUNT, 'pomona');
    try {
      await mkdir(root, { recursive: true });
      const enable = inTwo.map((controller) => `+${controller}`).join(' ');
      await writeFile(join(MOUNT, 'cgroup.subtree_control'), enable);
      await writeFile(join(root, 'cgroup.subtree_control'), enable);
      return [{ version: 2, root, controllers: new Set(inTwo) }];
    } catch {
      return [];
    }
  }
  const hierarchies: Hierarchy[] = [];
  for (const controller of WANTED) {
    try {
      await access(join(MOUNT, controller, 'cgroup.procs'), constants.W_OK);
      const root = join(MOUNT, controller, 'pomona');
      await mkdir(root, { recursive: true });
      hierarchies.push({ version: 1, root, controllers: new Set([controller]) });
    } catch {
      continue;
    }
  }
  return hierarchies;
}

/** Whether groups with these controllers have a limit of these to enforce. */
export function enforceable(limits: Limits, controllers: ReadonlySet<string>): boolean {
  const { cpus, memoryBytes, processes } = limits;
  return (
    (cpus !== undefined && controllers.has('cpu')) ||
    (memoryBytes !== undefined && controllers.has('memory')) ||
    (processes !== undefined && controllers.has('pids'))
  );
}

/** Makes the group of that name with its limits. Idempotent. */
export async function makeCgroup(name: string, limits: Limits): Promise<void> {
  for (const hierarchy of await cgroupHierarchies()) {
    const dir = join(hierarchy.root, name);
    await mkdir(dir, { recursive: true });
    for (const [file, value] of limitFiles(hierarchy, limits)) {
      await writeFile(join(dir, file), value);
    }
  }
}

function limitFiles({ version, controllers }: Hierarchy, limits: Limits): [string, string][] {
  const files: [string, string][] = [];
  const { cpus, memoryBytes, processes } = limits;
  if (cpus !== undefined && controllers.has('cpu')) {
    const quota = String(Math.max(1000, Math.round(cpus * CPU_PERIOD_US)));
    files.push(
      version === 2 ? ['cpu.max', `${quota} ${CPU_PERIOD_US}`] : ['cpu.cfs_quota_us', quota],
    );
  }
  if (memoryBytes !== undefined && controllers.has('memory')) {
    files.push([version === 2 ? 'memory.max' : 'memory.limit_in_bytes', String(memoryBytes)]);
  }
  if (processes !== undefined && controllers.has('pids')) {
    files.push(['pids.max', String(processes)]);
  }
  return files;
}

/** Puts a process, and all it will start, into the group. */
export async function joinCgroup(name: string, pid: number): Promise<void> {
  for (const { root } of await cgroupHierarchies()) {
    await writeFile(join(root, name, 'cgroup.procs'), String(pid));
  }
}

/** Pids of the processes in the group and in groups made in it. */
export async function cgroupProcesses(name: string): Promise<number[]> {
  const pids = new Set<number>();
  for (const { root } of await cgroupHierarchies()) {
    for (const dir of await groupsIn(join(root, name))) {
      const text = await readFile(join(dir, 'cgroup.procs'), 'utf8').catch(() => '');
      for (const line of text.split('\n')) if (line !== '') pids.add(Number(line));
    }
  }
  return [...pids];
}

/** The group's directory and those below it. */
async function groupsIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const below = entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => groupsIn(join(dir, name)));
  return [dir, ...(await Promise.all(below)).flat()];
}

/**
 * The group's path below the root of each hierarchy: for a program that makes a group in it by
 * itself. Undefined where no groups can be made.
 */
export async function cgroupPath(name: string): Promise<string | undefined> {
  return (await cgroupHierarchies()).length === 0 ? undefined : `/pomona/${name}`;
}

/** Was a process of the group, or of one made in it, killed because memory ran out? */
export async function cgroupRanOutOfMemory(name: string): Promise<boolean> {
  for (const { root, version, controllers } of await cgroupHierarchies()) {
    if (!controllers.has('memory')) continue;
    const file = version === 2 ? 'memory.events' : 'memory.oom_control';
    for (const dir of await groupsIn(join(root, name))) {
      const text = await readFile(join(dir, file), 'utf8').catch(() => '');
      if (/^oom_kill [1-9]/m.test(text)) return true;
    }
  }
  return false;
}

/**
 * Removes the group, with groups made in it, from every hierarchy: programs that make groups of
 * their own do so in more than those that limits need. Its processes must be gone. Idempotent.
 */
export async function removeCgroup(name: string): Promise<void> {
  const hierarchies = await cgroupHierarchies();
  const roots = new Set(hierarchies.map(({ root }) => root));
  if (hierarchies.some(({ version }) => version === 1)) {
    for (const hierarchy of await readdir(MOUNT)) roots.add(join(MOUNT, hierarchy, 'pomona'));
  }
  for (const root of roots) await removeGroup(join(root, name));
}

async function removeGroup(dir: string): Promise<void> {
  try {
    for (const entry of await readdir(dir, { withFileTypes: true })) {
      if (entry.isDirectory()) await removeGroup(join(dir, entry.name));
    }
    await rmdir(dir);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
