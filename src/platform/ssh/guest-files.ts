import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { create, extract } from 'tar';
import { shellQuoted, sshArguments, type SshAccess } from './access.ts';

/** Names of files that are listed at most: some hundred thousand. */
const LIST_CHARACTERS = 2 ** 25;
/** Kept of what a command says of why it failed. */
const WHY_CHARACTERS = 1000;

/**
 * Copies what is in a directory of this machine into one of another, which is made; one that is there
 * keeps its mode.
 */
export async function copyInto(
  access: SshAccess,
  dir: string,
  remoteDir: string,
  signal: AbortSignal,
): Promise<void> {
  const target = shellQuoted(remoteDir);
  // Names that begin otherwise could be taken for something else.
  const names = (await readdir(dir)).map((name) => `./${name}`);
  if (names.length === 0) {
    return run(access, `mkdir -p ${target}`, signal, async (stdin, stdout) => {
      stdout.resume();
      stdin.end();
    });
  }
  const packed = create({ cwd: dir, portable: true }, names) as unknown as Readable;
  await run(access, `mkdir -p ${target} && tar -xf - -C ${target}`, signal, (stdin, stdout) => {
    stdout.resume();
    return pipeline(packed, stdin, { signal });
  });
}

/**
 * Copies regular files from below a directory of another machine into one of this machine, which
 * exists: all, or those that `wanted` takes by their relative paths, `most` at most. Names with line
 * ends are left out. Returns how many more there were.
 */
export async function copyFrom(
  access: SshAccess,
  remoteDir: string,
  dir: string,
  wanted: (path: string) => boolean,
  most: number,
  signal: AbortSignal,
): Promise<{ readonly left: number }> {
  const inside = `cd ${shellQuoted(remoteDir)}`;
  const paths = (await filesIn(access, inside, signal)).filter(wanted);
  if (paths.length === 0) return { left: 0 };
  const list = paths.slice(0, most).map((path) => `./${path}\n`);
  const asked = new Set(paths.slice(0, most));
  // The other machine may send anything: only what was asked for counts, and no links.
  const filter = (path: string, entry: unknown) =>
    asked.has(path.replace(/^\.\//, '')) && (entry as { type?: string }).type === 'File';
  // They belong to whoever asked for them, whatever ids they have there.
  const options = { cwd: dir, filter, strict: false, preserveOwner: false };
  const unpack = extract(options) as unknown as Writable;
  await run(access, `${inside} && tar -cf - -T -`, signal, async (stdin, stdout) => {
    await Promise.all([pipeline(list, stdin), pipeline(stdout, unpack, { signal })]);
  });
  return { left: Math.max(0, paths.length - most) };
}

async function filesIn(access: SshAccess, inside: string, signal: AbortSignal): Promise<string[]> {
  let printed = '';
  await run(access, `${inside} && find . -type f -print`, signal, async (stdin, stdout) => {
    stdin.end();
    for await (const chunk of stdout.setEncoding('utf8')) {
      printed += chunk as string;
      // What runs there may say anything, without an end.
      if (printed.length > LIST_CHARACTERS) throw new Error('its files are too many to list');
    }
  });
  const lines = printed.split('\n').filter((line) => line.startsWith('./'));
  return lines.map((line) => line.slice(2));
}

async function run(
  access: SshAccess,
  command: string,
  signal: AbortSignal,
  talk: (stdin: Writable, stdout: Readable) => Promise<void>,
): Promise<void> {
  const child = spawn('ssh', sshArguments(access, command), { signal, stdio: 'pipe' });
  let why = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    why = (why + text).slice(-WHY_CHARACTERS);
  });
  const exit = once(child, 'close') as Promise<[number | null]>;
  const talked = talk(child.stdin, child.stdout).then(
    () => undefined,
    (error: unknown) => {
      // It would wait for someone to read what it has to say.
      child.kill('SIGKILL');
      return error as Error;
    },
  );
  const [code] = await exit;
  const failed = await talked;
  signal.throwIfAborted();
  if (code === null && failed !== undefined) throw failed;
  if (code !== 0) {
    throw new Error(`${command} failed (exit code ${code}): ${why.trim()}`, { cause: failed });
  }
  if (failed !== undefined) throw failed;
}
