import type { AgentSocket } from '../controller/sessions/agent-socket.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** How long messages are under way, in ms. */
const FAST = [0.2, 5] as const;
const SLOW = [200, 3_000] as const;

/** What is between the processes. What cannot come through waits, as with TCP, until it can. */
export class Network {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #cut = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();
  /** Until when everything is slow. */
  slowUntil = 0;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  isCut(a: string, b: string): boolean {
    return (this.#cut.get(way(a, b)) ?? 0) > this.#time.now;
  }

  /** Nothing goes between the two for a while. */
  cut(a: string, b: string, ms: number): void {
    const key = way(a, b);
    this.#cut.set(key, Math.max(this.#cut.get(key) ?? 0, this.#time.now + ms));
    this.#time.after(ms, () => {
      if (this.isCut(a, b)) return;
      const waiting = this.#waiting.get(key) ?? [];
      this.#waiting.delete(key);
      for (const send of waiting) send();
    });
  }

  /** Ends all that is cut and slow. */
  heal(): void {
    this.slowUntil = 0;
    this.#cut.clear();
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const send of waiting) send();
  }

  send(from: string, to: string, deliver: () => void): void {
    const key = way(from, to);
    if (this.isCut(from, to)) {
      const waiting = this.#waiting.get(key);
      if (waiting === undefined) this.#waiting.set(key, [() => this.send(from, to, deliver)]);
      else waiting.push(() => this.send(from, to, deliver));
      return;
    }
    this.#time.after(this.delay(), deliver);
  }

  delay(): number {
    const [least, most] = this.#time.now < this.slowUntil ? SLOW : FAST;
    return this.#random.between(least, most);
  }
}

function way(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

type Listener = (value: never) => void;

/**
 * One end of a connection. Each end closes by itself: the other may learn of it late, and until then
 * takes what is under way still.
 */
export class SimSocket implements AgentSocket {
  readonly OPEN = 1;
  readyState = 1;
  other!: SimSocket;
  readonly #network: Network;
  readonly #process: SimProcess;
  readonly #names: readonly [string, string];
  readonly #listeners = new Map<string, Listener[]>();
  /** Messages arrive in the order in which they were sent. */
  #arrived = 0;
  #sent = 0;
  readonly #early = new Map<number, () => void>();

  static pair(
    network: Network,
    near: { readonly name: string; readonly process: SimProcess },
    far: { readonly name: string; readonly process: SimProcess },
  ): [SimSocket, SimSocket] {
    const a = new SimSocket(network, near.process, [near.name, far.name]);
    const b = new SimSocket(network, far.process, [far.name, near.name]);
    a.other = b;
    b.other = a;
    return [a, b];
  }

  private constructor(network: Network, process: SimProcess, names: readonly [string, string]) {
    this.#network = network;
    this.#process = process;
    this.#names = names;
  }

  on(event: string, listener: Listener): this {
    const listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, [listener]);
    else listeners.push(listener);
    return this;
  }

  once(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  send(text: string, done?: (error?: Error | null) => void): void {
    this.#transmit(() => this.other.#tell('message', Buffer.from(text)));
    done?.();
  }

  close(code: number, reason: string): void {
    if (this.readyState !== this.OPEN) return;
    this.#transmit(() => this.other.#end(code, reason));
    this.#end(code, reason);
  }

  terminate(): void {
    this.close(1006, 'cut off');
  }

  /** The process at this end died: the system says so to the other. */
  abandon(): void {
    this.#transmit(() => this.other.#end(1006, 'the other end died'));
    this.readyState = 3;
  }

  #transmit(deliver: () => void): void {
    const number = this.#sent;
    this.#sent += 1;
    const [here, there] = this.#names;
    this.#network.send(here, there, () => this.other.#arrive(number, deliver));
  }

  #arrive(number: number, deliver: () => void): void {
    this.#early.set(number, deliver);
    for (let next = this.#early.get(this.#arrived); next !== undefined;) {
      this.#early.delete(this.#arrived);
      this.#arrived += 1;
      const now = next;
      this.#process.enter(now);
      next = this.#early.get(this.#arrived);
    }
  }

  #tell(event: string, ...values: unknown[]): void {
    if (event === 'message' && this.readyState !== this.OPEN) return;
    for (const listener of this.#listeners.get(event) ?? []) {
      (listener as (...all: unknown[]) => void)(...values);
    }
  }

  #end(code: number, reason: string): void {
    if (this.readyState !== this.OPEN) return;
    this.readyState = 3;
    this.#tell('close', code, Buffer.from(reason));
  }
}
