import { readFile, readdir, readlink } from 'node:fs/promises';
import { cgroupProcesses } from '../../platform/cgroup.ts';
import { findProcesses, processIdentity, signalProcess } from '../../platform/process-table.ts';
import { WORKER_VARIABLE } from './environment.ts';
import type { SandboxSpec } from './sandbox.ts';

const PATIENCE_MS = 10_000;

/**
 * Kills every process of the worker until none is left: those in its control group, those that
 * carry its mark in their environment or share a process namespace with one that does, and those
 * of its own user. Throws when some survive 10 s.
 */
export async function endProcesses(spec: SandboxSpec, uid: number | undefined): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  const spaces = new Set<string>();
  for (let wait = 1; ; wait = Math.min(wait * 2, 100)) {
    const pids = await livingProcesses(spec, uid, spaces);
    if (pids.length === 0) return;
    if (performance.now() > deadline) {
      throw new Error(`processes ${pids.join(', ')} of ${spec.name} do not end`);
    }
    for (const pid of pids) {
      const identity = await processIdentity(pid);
      if (identity !== undefined) await signalProcess(identity, 'SIGKILL');
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Sends SIGTERM to the worker's processes, but to none of the programs named in `spare`. */
export async function askProcesses(
  spec: SandboxSpec,
  uid: number | undefined,
  spare: readonly string[] = [],
): Promise<void> {
  for (const pid of await livingProcesses(spec, uid, new Set())) {
    const program = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (spare.includes(program.trim())) continue;
    const identity = await processIdentity(pid);
    if (identity !== undefined) await signalProcess(identity, 'SIGTERM');
  }
}

/**
 * `spaces`: process namespaces in which the worker's processes were found; those found now are
 * added. What carries the mark may be gone before the rest of its namespace is.
 */
async function livingProcesses(
  spec: SandboxSpec,
  uid: number | undefined,
  spaces: Set<string>,
): Promise<number[]> {
  const found = new Set(await cgroupProcesses(spec.name));
  const marked = await findProcesses({
    environment: `${WORKER_VARIABLE}=${spec.name}`,
    ...(uid === undefined ? {} : { uid }),
  });
  for (const pid of marked) found.add(pid);
  for (const pid of await namespaceMembers(marked, spaces)) found.add(pid);
  const living = await Promise.all(
    [...found].map(async (pid) => ((await processIdentity(pid)) === undefined ? [] : [pid])),
  );
  return living.flat();
}

/** Processes in these process namespaces and in those, other than our own, of these processes. */
async function namespaceMembers(pids: readonly number[], spaces: Set<string>): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const namespaceOf = (pid: number | 'self') => readlink(`/proc/${pid}/ns/pid`).catch(() => '');
  for (const space of await Promise.all(pids.map(namespaceOf))) spaces.add(space);
  spaces.delete('');
  spaces.delete(await namespaceOf('self'));
  if (spaces.size === 0) return [];
  const members: number[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (Number.isInteger(pid) && spaces.has(await namespaceOf(pid))) members.push(pid);
  }
  return members;
}
