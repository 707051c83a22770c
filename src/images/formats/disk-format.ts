import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, stat } from 'node:fs/promises';
import type { WorkOptions } from '../progress.ts';
import { ImageError } from '../reference.ts';

export type DiskFormat = 'raw' | 'qcow2';

const MAGIC_BYTES = 4;
const QCOW2 = Buffer.from([0x51, 0x46, 0x49, 0xfb]);
const ZIP = Buffer.from('PK\x03\x04', 'latin1');
const SAID_CHARACTERS = 500;

/** What a file is by its first bytes. */
export async function formatOf(path: string): Promise<'qcow2' | 'zip' | 'other'> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
    if (buffer.equals(QCOW2)) return 'qcow2';
    return buffer.equals(ZIP) ? 'zip' : 'other';
  } finally {
    await file.close();
  }
}

/**
 * Writes a disk in another format, by `qemu-img`; a raw one has holes where it is zeros. A qcow2 disk that
 * refers to other files is refused. Throws `ImageError`.
 */
export async function convertDisk(
  from: { readonly path: string; readonly format: DiskFormat },
  to: { readonly path: string; readonly format: DiskFormat },
  { signal, progress }: WorkOptions = {},
): Promise<void> {
  if (from.format === 'qcow2') await mustBeWhole(from.path);
  const totalBytes = (await stat(from.path)).size;
  await qemuImg(['convert', '-p', '-f', from.format, '-O', to.format, from.path, to.path], {
    ...(signal === undefined ? {} : { signal }),
    onOutput(text) {
      const percent = [...text.matchAll(/\((\d+\.\d+)\/100%\)/g)].at(-1)?.[1];
      if (percent === undefined) return;
      progress?.({ phase: 'scan', doneBytes: (totalBytes * Number(percent)) / 100, totalBytes });
    },
  });
}

async function mustBeWhole(path: string): Promise<void> {
  let json = '';
  const onOutput = (text: string) => void (json += text);
  await qemuImg(['info', '-U', '--output=json', path], { onOutput });
  if (!/"(backing-filename|data-file)"/.test(json)) return;
  throw new ImageError(
    `${path} refers to another file; import that which it was made from, or \`qemu-img rebase\` it`,
  );
}

async function qemuImg(
  args: readonly string[],
  options: { readonly signal?: AbortSignal; onOutput(text: string): void },
): Promise<void> {
  const child = spawn('qemu-img', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = () => child.kill('SIGTERM');
  options.signal?.addEventListener('abort', stop, { once: true });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-SAID_CHARACTERS);
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => options.onOutput(text));
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    options.signal?.throwIfAborted();
    if (code !== 0) throw new ImageError(`qemu-img ${args[0]} failed: ${said.trim()}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new ImageError(
      'qcow2 needs qemu-img (Debian: qemu-utils, Homebrew: qemu); or import it --as-is, for qemu alone',
      { cause: error },
    );
  } finally {
    options.signal?.removeEventListener('abort', stop);
  }
}
