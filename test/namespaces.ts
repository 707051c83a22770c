import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';

/** Why hosts of a network of their own cannot be had here; false when they can. */
export function noNamespaces(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  try {
    const wire = new HostsOnAWire();
    try {
      wire.add();
      return false;
    } finally {
      wire.remove();
    }
  } catch (error) {
    return `hosts on a network of their own cannot be made (Debian: iproute2): ${(error as Error).message.split('\n')[0]}`;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' });
}

/** Hosts on one wire, each with an address of its own; the wire has one on this machine, too. */
export class HostsOnAWire {
  /** This machine's address on the wire. */
  readonly address: string;
  readonly #net: string;
  readonly #id = randomBytes(2).toString('hex');
  readonly #hosts: string[] = [];

  constructor() {
    const [a = 0, b = 0] = randomBytes(2);
    this.#net = `10.${200 + (a % 50)}.${b}`;
    this.address = `${this.#net}.1`;
    ip('link', 'add', this.#bridge, 'type', 'bridge');
    ip('addr', 'add', `${this.address}/24`, 'dev', this.#bridge);
    ip('link', 'set', this.#bridge, 'up');
  }

  get #bridge(): string {
    return `pb-${this.#id}`;
  }

  /** Plugs in another. Returns its name and address. */
  add(): { readonly name: string; readonly address: string } {
    const number = this.#hosts.length + 2;
    const name = `pomona-${this.#id}-${number}`;
    const [outside, address] = [`pv-${this.#id}-${number}`, `${this.#net}.${number}`];
    ip('netns', 'add', name);
    this.#hosts.push(name);
    ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    ip('link', 'set', outside, 'master', this.#bridge, 'up');
    ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    for (const device of ['eth0', 'lo']) ip('-n', name, 'link', 'set', device, 'up');
    return { name, address };
  }

  /** Starts a program on a host. */
  spawn(host: string, command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    return spawn('ip', ['netns', 'exec', host, ...command], {
      ...{ env, stdio: ['ignore', 'pipe', 'pipe'] },
    });
  }

  remove(): void {
    for (const host of this.#hosts) ip('netns', 'delete', host);
    ip('link', 'delete', this.#bridge);
  }
}
