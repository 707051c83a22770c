import {
  agentMessageSchema,
  CLOSE,
  SESSION_PROTOCOL,
  type AgentMessage,
  type ControllerMessage,
} from '../protocol/session.ts';
import type { HostFacts } from '../domain/host.ts';
import type { ObservedWorker } from '../domain/worker.ts';
import { SimSocket, type Network } from './network.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { SimController } from './sim-controller.ts';

const PING_MS = 2_000;
const BEAT_MS = 10_000;

/** Whom a link speaks for. */
export interface Linked {
  readonly name: string;
  readonly id: string;
  facts(): HostFacts;
  /** All that is told when the session begins, and again and again. */
  whole(): Extract<AgentMessage, { type: 'observed' }>;
  observed(id: string): ObservedWorker | undefined;
  desired(message: Extract<ControllerMessage, { type: 'desired' }>): void;
  /** It had a session, and has none now. */
  outOfTouch(): void;
}

/** The session of one agent's process with some controller, over and over: as the agent's own. */
export class SimLink {
  readonly #process: SimProcess;
  readonly #host: Linked;
  readonly #random: Random;
  readonly #network: Network;
  readonly #controllers: () => readonly SimController[];
  readonly #dirty = new Set<string>();
  #socket: SimSocket | undefined;
  #controller: SimController | undefined;
  #welcomed = false;
  #next: number;
  #flushing = false;

  constructor(
    process: SimProcess,
    host: Linked,
    world: {
      readonly random: Random;
      readonly network: Network;
      controllers(): readonly SimController[];
    },
  ) {
    this.#process = process;
    this.#host = host;
    this.#random = world.random;
    this.#network = world.network;
    this.#controllers = () => world.controllers();
    this.#next = (host.id.codePointAt(host.id.length - 1) ?? 0) % 7;
    process.every(PING_MS, () => this.#ping());
    process.every(BEAT_MS, () => this.#beat());
    process.after(world.random.between(10, 500), () => this.#connect());
  }

  /** Whom it has a session with. */
  get controller(): SimController | undefined {
    return this.#welcomed ? this.#controller : undefined;
  }

  /** Its process died. */
  abandon(): void {
    if (this.#welcomed) this.#host.outOfTouch();
    this.#welcomed = false;
    this.#socket?.abandon();
  }

  /** Where there is a session. */
  send(message: AgentMessage): void {
    if (this.#welcomed) this.#send(message);
  }

  /** A worker changed; what changes at once goes out in one message. */
  changed(id: string): void {
    this.#dirty.add(id);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#process.after(0, () => {
      this.#flushing = false;
      if (!this.#welcomed || this.#dirty.size === 0) return;
      const workers = [...this.#dirty].flatMap((each) => this.#host.observed(each) ?? []);
      this.#dirty.clear();
      this.#send({ type: 'observed', complete: false, workers });
    });
  }

  #connect(): void {
    const { name } = this.#host;
    const controllers = this.#controllers();
    const controller = controllers[this.#next % Math.max(1, controllers.length)];
    this.#next += 1;
    const reachable =
      controller?.process.lives === true && !this.#network.isCut(name, controller.name);
    if (controller === undefined || !reachable) {
      this.#process.after(this.#random.between(500, 3_000), () => this.#connect());
      return;
    }
    const [mine, its] = SimSocket.pair(this.#network, { name, process: this.#process }, controller);
    this.#socket = mine;
    this.#controller = controller;
    mine.on('message', (data: Buffer) => this.#receive(mine, data));
    mine.once('close', (code: number) => {
      if (this.#socket !== mine || !this.#process.lives) return;
      this.#socket = undefined;
      if (this.#welcomed) this.#host.outOfTouch();
      this.#welcomed = false;
      if (code === CLOSE.unauthorized) return;
      this.#process.after(this.#random.between(50, 3_000), () => this.#connect());
    });
    controller.process.enter(() => controller.accept(its, this.#host));
    this.#send({
      ...{ type: 'hello', protocol: SESSION_PROTOCOL, agentVersion: 'simulated' },
      facts: this.#host.facts(),
    });
  }

  /** A controller that stands still, is dead or out of reach is left. */
  #ping(): void {
    const [socket, controller] = [this.#socket, this.#controller];
    if (socket === undefined || controller === undefined) return;
    const isCut = this.#network.isCut(this.#host.name, controller.name);
    if (controller.process.runs && !isCut) return;
    this.#process.after(PING_MS, () => this.#socket === socket && socket.terminate());
  }

  #beat(): void {
    this.send({ ...this.#host.whole(), diskFreeBytes: 1e11 });
  }

  #send(message: AgentMessage): void {
    this.#socket?.send(JSON.stringify(agentMessageSchema.parse(message)));
  }

  #receive(socket: SimSocket, data: Buffer): void {
    if (this.#socket !== socket) return;
    const message = JSON.parse(data.toString()) as ControllerMessage;
    if (message.type === 'desired') return this.#host.desired(message);
    this.#welcomed = true;
    this.#dirty.clear();
    this.#send(this.#host.whole());
  }
}
