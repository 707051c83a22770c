import '../styles.css';
import type { ConsoleMessage } from '../../../src/protocol/console.ts';

/** A window with a way into a worker: its shell, or its screen. The address says which. */

const workerId = location.pathname.split('/').at(-1) ?? '';
const kind = new URLSearchParams(location.search).get('kind') === 'screen' ? 'screen' : 'shell';

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

const status = (text: string) => {
  element('status').textContent = text;
};

function address(query: Record<string, string>): string {
  const url = new URL(
    `/api/v1/workers/${workerId}/console?${new URLSearchParams({ kind, ...query })}`,
    location.href,
  );
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

/** A WebSocket does not say why it was refused: the API does. */
async function whyRefused(): Promise<string> {
  const response = await fetch('/web/session').catch(() => undefined);
  if (response === undefined) return 'The controller does not answer.';
  const session = (await response.json()) as { signedIn: boolean };
  if (!session.signedIn) return 'You are signed out: sign in and open this window again.';
  return `There is no ${kind} of this worker for you: it is gone, it has no job, or your role is not operator.`;
}

document.title = `${kind} of ${workerId} - Pomona`;
element('title').textContent = `${kind === 'shell' ? 'Shell' : 'Screen'} of ${workerId}`;
if (kind === 'shell') void openShell();
else void openScreen();

async function openShell(): Promise<void> {
  const [{ Terminal }, { FitAddon }] = await Promise.all([
    import('@xterm/xterm'),
    import('@xterm/addon-fit'),
    import('@xterm/xterm/css/xterm.css'),
  ]);
  const terminal = new Terminal({
    fontSize: 14,
    scrollback: 20_000,
    screenReaderMode: true,
    theme: { background: '#0f1318' },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(element('console'));
  fit.fit();
  const socket = new WebSocket(
    address({ cols: String(terminal.cols), lines: String(terminal.rows) }),
  );
  socket.binaryType = 'arraybuffer';
  const utf8 = new TextEncoder();
  let opened = false;
  socket.addEventListener('open', () => status('Waiting for the host'));
  socket.addEventListener('message', ({ data }: MessageEvent<ArrayBuffer | string>) => {
    if (typeof data !== 'string') return terminal.write(new Uint8Array(data));
    if ((JSON.parse(data) as ConsoleMessage).type !== 'open') return;
    opened = true;
    status('Open. What it shows is recorded.');
    terminal.focus();
  });
  socket.addEventListener('close', ({ reason }) => {
    if (reason !== '' || opened)
      status(`Closed: ${reason || 'the connection broke'}. Load the window again to open another.`);
    else void whyRefused().then(status);
  });
  terminal.onData((text) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(utf8.encode(text));
  });
  terminal.onResize(({ cols, rows: lines }) => {
    if (socket.readyState === WebSocket.OPEN)
      socket.send(JSON.stringify({ type: 'size', cols, lines }));
  });
  new ResizeObserver(() => fit.fit()).observe(element('console'));
}

async function openScreen(): Promise<void> {
  const { default: Rfb } = await import('@novnc/novnc');
  const socket = new WebSocket(address({}));
  let reason = '';
  socket.addEventListener('open', () => status('Waiting for the host'));
  socket.addEventListener('close', (event) => {
    reason = event.reason;
  });
  const screen = new Rfb(element('console'), socket);
  screen.scaleViewport = true;
  screen.resizeSession = false;
  screen.addEventListener('connect', () => status('Open'));
  screen.addEventListener('disconnect', () => {
    if (reason !== '') status(`Closed: ${reason}. Load the window again to open another.`);
    else void whyRefused().then(status);
  });
}
