import { join } from 'node:path';
import {
  VERSION_PATTERN,
  type HostTask,
  type HostTaskKind,
  type ObservedTask,
} from '../domain/host-task.ts';
import { readJson, writeJson } from '../platform/atomic-file.ts';
import type { Logger } from '../platform/logger.ts';
import { bootId } from '../platform/process-table.ts';
import { tool } from '../platform/tool.ts';
import { VERSION } from '../platform/version.ts';
import { parseSettings, settingsPath } from './settings.ts';

/** What a host lets its agent do to it. */
export interface HostTools {
  /** Has this process start anew, with the program as it is then. */
  restart(): void;
  /** Version of the program that would be started. */
  installedVersion(): Promise<string>;
  /** Lines of shell; absent: the host does not do that when asked. */
  readonly rebootCommand?: string | undefined;
  readonly reimageCommand?: string | undefined;
  /** Has `POMONA_VERSION`, the version to install, in its environment. */
  readonly updateCommand?: string | undefined;
}

export interface HostTaskParts {
  readonly dataDir: string;
  /** Absent: the agent is part of another program, which does not end for it. */
  readonly tools?: HostTools | undefined;
  clean(): Promise<void>;
  changed(): void;
  readonly log: Logger;
  readonly bootId?: () => Promise<string>;
}

/** task.json: the last task that was begun. */
interface TaskRecord extends ObservedTask {
  readonly kind: HostTaskKind;
  readonly value?: string;
  /** Run of the machine in which it was begun. */
  readonly boot: string;
  /** The agent was to start anew: whoever reads this is the new one. */
  readonly restarting?: boolean;
  /** What it was before: a version, or the text of the settings. */
  readonly before?: string;
  /** How often the new version started without a controller taking it in. */
  readonly starts?: number;
}

const COMMAND_MS = 15 * 60_000;
/** A new version that no controller takes in for so long goes back. */
export const TRIAL_MS = 5 * 60_000;
const TRIAL_STARTS = 5;

/**
 * Does what the controller asks of this host, one task at a time and each once: what was begun is on the
 * disk before, and whatever ends the process, the next one knows how it went.
 */
export class HostTasks {
  readonly #parts: HostTaskParts;
  readonly #path: string;
  #record: TaskRecord | undefined;
  #told = true;
  /** A controller took this agent in. */
  #taken = false;
  #trial: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: HostTaskParts) {
    this.#parts = parts;
    this.#path = join(parts.dataDir, 'task.json');
  }

  /** What this host can do when it is asked. */
  get can(): HostTaskKind[] {
    const { tools } = this.#parts;
    if (tools === undefined) return ['clean'];
    return [
      ...(['restart', 'clean', 'configure'] as const),
      ...(tools.rebootCommand === undefined ? [] : (['reboot'] as const)),
      ...(tools.reimageCommand === undefined ? [] : (['reimage'] as const)),
      ...(tools.updateCommand === undefined ? [] : (['update'] as const)),
    ];
  }

  /** How the last task goes, until the controller knows. */
  get observed(): ObservedTask | undefined {
    if (this.#record === undefined || !this.#told) return undefined;
    const { id, state, detail } = this.#record;
    return { id, state, ...(detail === undefined ? {} : { detail }) };
  }

  /** Finds out how a task went in which the process before this one ended. */
  async recover(): Promise<void> {
    this.#record = await readJson<TaskRecord>(this.#path).catch(() => undefined);
    const record = this.#record;
    if (record?.state !== 'running') return;
    switch (record.kind) {
      case 'restart':
      case 'clean':
        // Whoever starts anew has cleaned up, too.
        return this.#end(record, 'done');
      case 'reboot':
      case 'reimage':
        if (record.boot !== (await this.#bootId())) return this.#end(record, 'done');
        return;
      case 'configure':
        if (record.restarting === true) return this.#end(record, 'done');
        return this.#end(record, 'failed', 'the agent ended before the settings were taken');
      case 'update':
        return this.#recoverUpdate(record);
    }
  }

  /** What the controller wants done; undefined: nothing, or it knows how the last one went. */
  want(task: HostTask | undefined): void {
    if (task === undefined) {
      this.#told = false;
      return;
    }
    this.#told = true;
    if (task.id === this.#record?.id) return;
    this.#record = { ...task, state: 'running', boot: '' };
    this.#running = this.#running.then(() => this.#do(task));
  }

  async close(): Promise<void> {
    clearTimeout(this.#trial);
    await this.#running;
  }

  async #do({ id, kind, value }: HostTask): Promise<void> {
    const boot = await this.#bootId();
    const record: TaskRecord = {
      ...{ id, kind, state: 'running', boot },
      ...(value === undefined ? {} : { value }),
    };
    try {
      await this.#put(record);
      await this.#carryOut(record);
    } catch (error) {
      await this.#end(record, 'failed', (error as Error).message.slice(0, 4_000)).catch(
        (cause: unknown) => {
          this.#parts.log.log('error', 'how a task went cannot be written', { cause });
        },
      );
    }
  }

  async #carryOut(record: TaskRecord): Promise<void> {
    const { tools } = this.#parts;
    if (record.kind === 'clean') {
      await this.#parts.clean();
      return this.#end(record, 'done');
    }
    if (tools === undefined || !this.can.includes(record.kind)) {
      throw new Error(`this host does not ${record.kind} when asked`);
    }
    switch (record.kind) {
      case 'restart':
        return tools.restart();
      case 'reboot':
        return mustSucceed(tools.rebootCommand ?? '');
      case 'reimage':
        return mustSucceed(tools.reimageCommand ?? '');
      case 'configure':
        return this.#configure(record, tools);
      case 'update':
        return this.#update(record, tools);
    }
  }

  async #configure(record: TaskRecord, tools: HostTools): Promise<void> {
    const settings = parseSettings(record.value ?? '');
    await this.#put({ ...record, restarting: true });
    await writeJson(settingsPath(this.#parts.dataDir), settings, { flush: true });
    tools.restart();
  }

  async #update(record: TaskRecord, tools: HostTools): Promise<void> {
    const version = record.value ?? '';
    if (!VERSION_PATTERN.test(version)) throw new Error(`${version} is no version`);
    if (version === VERSION) return this.#end(record, 'done');
    await this.#put({ ...record, before: VERSION });
    await this.#install(version, tools);
    await this.#put({ ...record, before: VERSION, restarting: true });
    tools.restart();
  }

  /** Throws when that version is not there afterwards; what was before is there again then. */
  async #install(version: string, tools: HostTools): Promise<void> {
    const line = tools.updateCommand ?? '';
    try {
      await mustSucceed(line, { POMONA_VERSION: version });
      const is = await tools.installedVersion();
      if (is !== version) throw new Error(`the update command left version ${is}`);
    } catch (error) {
      await mustSucceed(line, { POMONA_VERSION: VERSION }).catch((cause: unknown) => {
        this.#parts.log.log('error', 'the version before cannot be installed again', { cause });
      });
      throw error;
    }
  }

  async #recoverUpdate(record: TaskRecord): Promise<void> {
    const { value, before, restarting } = record;
    const { tools } = this.#parts;
    if (VERSION !== value) {
      const why =
        restarting === true
          ? `version ${value} did not stay: no controller took it in, or it did not start`
          : 'the agent ended while it was being updated';
      return this.#end(record, 'failed', why);
    }
    if (tools === undefined || before === undefined) return this.#end(record, 'done');
    const starts = (record.starts ?? 0) + 1;
    await this.#put({ ...record, restarting: true, starts });
    const back = () => {
      this.#parts.log.log(
        'error',
        'no controller takes in this version; the one before comes back',
      );
      this.#running = this.#running
        .then(() => mustSucceed(tools.updateCommand ?? '', { POMONA_VERSION: before }))
        .then(() => tools.restart())
        .catch((error: unknown) => {
          this.#parts.log.log('error', 'the version before cannot be installed', { error });
        });
    };
    if (starts > TRIAL_STARTS) return back();
    const trial = () => (this.#taken ? undefined : back());
    this.#trial = setTimeout(trial, TRIAL_MS);
    this.#trial.unref();
  }

  /** A controller took this agent in: a new version has proved itself. */
  async welcomed(): Promise<void> {
    this.#taken = true;
    const record = this.#record;
    if (record?.kind !== 'update' || record.state !== 'running') return;
    if (record.restarting !== true || record.value !== VERSION) return;
    clearTimeout(this.#trial);
    await this.#end(record, 'done');
  }

  async #end(record: TaskRecord, state: 'done' | 'failed', detail?: string): Promise<void> {
    await this.#put({ ...record, state, ...(detail === undefined ? {} : { detail }) });
    this.#parts.changed();
  }

  async #put(record: TaskRecord): Promise<void> {
    this.#record = record;
    await writeJson(this.#path, record, { flush: true });
  }

  #bootId(): Promise<string> {
    return (this.#parts.bootId ?? bootId)();
  }
}

async function mustSucceed(line: string, env: Record<string, string> = {}): Promise<void> {
  const { code, why } = await tool('sh', ['-c', line], { timeoutMs: COMMAND_MS, env });
  // The line itself may hold what nobody else is to see.
  if (code !== 0) throw new Error(`the host’s command ended with ${code ?? 'a signal'}: ${why}`);
}
