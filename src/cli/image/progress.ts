import type { ImageProgress } from '../../images/progress.ts';
import { size, span } from '../output.ts';

const EVERY_MS = 250;
const PHASES: Readonly<Record<ImageProgress['phase'], string>> = {
  scan: 'reading',
  search: 'searching for secrets in',
  copy: 'taking from local images',
  upload: 'sending',
  download: 'fetching',
};

/** Shows progress with rate and time left in one line of a terminal; elsewhere nothing. */
export function progressLine(
  quiet: boolean | undefined,
  stream: NodeJS.WriteStream = process.stderr,
): { update(progress: ImageProgress): void; end(): void } {
  if (quiet === true || !stream.isTTY) return { update: () => undefined, end: () => undefined };
  let phase: string | undefined;
  let [beganAt, shownAt] = [0, 0];
  return {
    update(progress) {
      const now = performance.now();
      if (progress.phase !== phase) [phase, beganAt, shownAt] = [progress.phase, now, 0];
      if (now - shownAt < EVERY_MS) return;
      shownAt = now;
      stream.write(`\r\u001b[K${progressText(progress, now - beganAt)}`);
    },
    end() {
      if (phase !== undefined) stream.write('\r\u001b[K');
    },
  };
}

/** Such as `sending 1.2 GiB of 4.0 GiB (30 %), 210.0 MiB/s, 14 s left`. */
export function progressText(
  { phase, doneBytes, totalBytes }: ImageProgress,
  elapsedMs: number,
): string {
  const share = totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100);
  const done = `${PHASES[phase]} ${size(doneBytes)} of ${size(totalBytes)} (${share} %)`;
  if (elapsedMs < 1_000 || doneBytes === 0) return done;
  const bytesPerMs = doneBytes / elapsedMs;
  const left = span((totalBytes - doneBytes) / bytesPerMs);
  return `${done}, ${size(Math.round(bytesPerMs * 1_000))}/s, ${left} left`;
}
