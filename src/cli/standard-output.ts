/** Standard output whose reader may be slow, or leave, as `head` does. */

/** How a command ends whose output nobody reads any more: as a shell says it of SIGPIPE. */
const READER_GONE = 141;

let readerGone: () => void = () => process.exit(READER_GONE);

/** What to do when the reader has left, instead of ending at once. */
export function whenReaderLeaves(listener: () => void): void {
  readerGone = listener;
}

/** Call it once, before anything is written. */
export function watchReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    readerGone();
  });
}

/** Writes, and waits for a slow reader; for none that has left. */
export async function writeOut(data: string | Uint8Array): Promise<void> {
  const { stdout } = process;
  if (stdout.errored !== null || stdout.write(data)) return;
  await new Promise<void>((resolve) => {
    const over = () => {
      stdout.off('drain', over).off('error', over);
      resolve();
    };
    stdout.on('drain', over).on('error', over);
  });
}
