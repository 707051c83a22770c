import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TerminalOrder, TerminalStart, TerminalStarted } from './terminal.ts';

/**
 * The program that holds one terminal and nothing else. The library leaves its descriptor open to
 * whatever else its process starts, and to hold that is to type into the shell: so nothing else is
 * started here. What the terminal says and is told goes through descriptor 4; it ends with the
 * shell, with its code, and hangs up when whoever started it is gone.
 */
const BYTES = 4;
const PATIENCE_MS = 1_000;

process.once('message', (order: TerminalOrder) => {
  if (order.type !== 'start') return;
  start(order).then(
    (pid) => tell({ type: 'started', pid }),
    (error: unknown) => tell({ type: 'failed', message: (error as Error).message }),
  );
});

function tell(started: TerminalStarted): void {
  process.send?.(started);
}

async function start({ file, args, cols, lines, ...options }: TerminalStart): Promise<number> {
  const pty = await import('@lydell/node-pty');
  const bytes = new Socket({ fd: BYTES });
  const terminal = pty.spawn(file, [...args], {
    ...{ name: 'xterm-256color', cols, rows: lines, encoding: null, ...options },
  });
  terminal.onData((data) => {
    if (bytes.write(data)) return;
    terminal.pause();
    bytes.once('drain', () => terminal.resume());
  });
  terminal.onExit(({ exitCode }) => {
    if (bytes.destroyed) process.exit(exitCode);
    bytes.end(() => process.exit(exitCode));
  });
  // It takes bytes, whatever its types say.
  bytes.on('data', (data: Buffer) => terminal.write(data as unknown as string));
  const leave = () => void hangUp(terminal.pid);
  bytes.on('error', leave);
  process.on('disconnect', leave);
  if (!process.connected) leave();
  process.on('message', (order: TerminalOrder) => {
    if (order.type !== 'size') return;
    try {
      terminal.resize(order.cols, order.lines);
    } catch {
      // The shell has just ended, which is told by itself.
    }
  });
  return terminal.pid;
}

/** Says what a closed terminal says to all that run in it; a shell tells its own. What stays is killed. */
async function hangUp(pid: number): Promise<void> {
  try {
    process.kill(-pid, 'SIGHUP');
    await sleep(PATIENCE_MS);
    process.kill(-pid, 'SIGKILL');
  } finally {
    process.exit(1);
  }
}
