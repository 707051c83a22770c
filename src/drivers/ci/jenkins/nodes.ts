import { z } from 'zod';
import type { RunnerState, SeenRunner } from '../../../domain/ci/ci-job.ts';
import type { Found } from '../../../domain/ci/runner-phase.ts';
import { CiError, type RunnerName, type RunnerOrder } from '../ci.ts';
import type { JenkinsClient } from './client.ts';
import type { JenkinsSettings } from './settings.ts';

const executorSchema = z.object({
  currentExecutable: z
    .object({ fullDisplayName: z.string().nullish(), url: z.string().nullish() })
    .nullish(),
});
const computerSchema = z.object({
  displayName: z.string(),
  description: z.string().nullish(),
  offline: z.boolean(),
  temporarilyOffline: z.boolean(),
  idle: z.boolean(),
  executors: z.array(executorSchema).default([]),
});
type Computer = z.output<typeof computerSchema>;

const EXECUTORS = 'executors[currentExecutable[fullDisplayName,url]]';
const FIELDS = `displayName,description,offline,temporarilyOffline,idle,${EXECUTORS}`;
const computersSchema = z.object({ computer: z.array(computerSchema) });

/** Nodes of a Jenkins that are runners. Our name for one is the description of its node. */
export class JenkinsNodes {
  readonly #client: JenkinsClient;
  readonly #settings: JenkinsSettings;

  constructor(client: JenkinsClient, settings: JenkinsSettings) {
    this.#client = client;
    this.#settings = settings;
  }

  async list(owned: string, signal: AbortSignal): Promise<SeenRunner[]> {
    const what = 'the nodes of Jenkins';
    const tree = `computer[${FIELDS}]`;
    const all = await this.#client.read('computer', tree, computersSchema, what, signal);
    return (all?.computer ?? []).flatMap((computer): SeenRunner[] => {
      const name = computer.description ?? '';
      if (!name.startsWith(owned)) return [];
      const job = jobOn(computer);
      const seen = { name, externalId: computer.displayName, state: stateOf(computer) };
      return [{ ...seen, ...(job === undefined ? {} : { job }) }];
    });
  }

  /** Makes a node with one executor for builds that ask for its labels, and says its secret. */
  async create(order: RunnerOrder, signal: AbortSignal): Promise<{ node: string; secret: string }> {
    const settings = this.#settings;
    const node = nodeName(settings.nodeName, order);
    const labels = order.runnerClass.labels.join(' ');
    const json = {
      ...{ name: node, nodeDescription: order.name, numExecutors: '1' },
      // Jenkins does not know the home; a relative root is below where the agent was started.
      remoteFS: settings.workDirectory.startsWith('~') ? '.' : settings.workDirectory,
      labelString: labels,
      ...{ mode: labels === '' ? 'NORMAL' : 'EXCLUSIVE', type: 'hudson.slaves.DumbSlave' },
      retentionStrategy: { 'stapler-class': 'hudson.slaves.RetentionStrategy$Always' },
      nodeProperties: { 'stapler-class-bag': 'true' },
      launcher: {
        'stapler-class': 'hudson.slaves.JNLPLauncher',
        webSocket: settings.connection === 'websocket',
      },
    };
    const query = new URLSearchParams({ name: node, type: json.type }).toString();
    await this.#client.post(
      {
        path: `computer/doCreateItem?${query}`,
        form: { name: node, type: json.type, json: JSON.stringify(json) },
        what: `the node ${node}`,
      },
      signal,
    );
    return { node, secret: await this.#secretOf(node, signal) };
  }

  async #secretOf(node: string, signal: AbortSignal): Promise<string> {
    const path = `${pathOf(node)}/jenkins-agent.jnlp`;
    const what = `the secret of node ${node} (permission Agent/Connect)`;
    const schema = z.string();
    const text = await this.#client.http.get({ path, schema, what, plain: true }, signal);
    const secret = /<argument>([0-9a-f]{32,})<\/argument>/.exec(text)?.[1];
    if (secret !== undefined) return secret;
    throw new CiError('bad_answer', `${what}: there is none in the answer`);
  }

  async find(runner: RunnerName, signal: AbortSignal): Promise<Found> {
    const computer = await this.#find(runner, signal);
    return computer === undefined ? 'absent' : stateOf(computer);
  }

  /** Closed first, so that no build begins between the look at it and its removal. */
  async remove(
    runner: RunnerName,
    force: boolean,
    signal: AbortSignal,
  ): Promise<'removed' | 'busy'> {
    const before = await this.#find(runner, signal);
    if (before === undefined) return 'removed';
    const node = before.displayName;
    if (!force) {
      await this.#close(before, true, signal);
      const now = await this.#find({ ...runner, externalId: node }, signal);
      if (now !== undefined && !now.idle) {
        // It has a job, and is to take no other: it stays closed.
        return 'busy';
      }
    }
    const what = `the removal of node ${node}`;
    await this.#client.post({ path: `${pathOf(node)}/doDelete`, what, expected: [404] }, signal);
    return 'removed';
  }

  async takeNoMore(runner: RunnerName, signal: AbortSignal): Promise<void> {
    const computer = await this.#find(runner, signal);
    if (computer !== undefined) await this.#close(computer, true, signal);
  }

  /** How many builds there ever were on a node, as far as Jenkins remembers. */
  async hadBuild(node: string, signal: AbortSignal): Promise<boolean> {
    const path = `${pathOf(node)}/rssAll`;
    const what = `the builds on node ${node}`;
    const answer = await this.#client.http.ask(
      { path, schema: z.string(), what, plain: true, expected: [404] },
      signal,
    );
    return answer.value?.includes('<entry>') === true;
  }

  /** Jenkins has a switch, no way to say what is wanted. */
  async #close(computer: Computer, closed: boolean, signal: AbortSignal): Promise<void> {
    if (computer.temporarilyOffline === closed) return;
    const path = `${pathOf(computer.displayName)}/toggleOffline`;
    const form = { offlineMessage: 'it takes one build' };
    const what = `closing node ${computer.displayName}`;
    await this.#client.post({ path, form, what, expected: [404] }, signal);
  }

  async #find(runner: RunnerName, signal: AbortSignal): Promise<Computer | undefined> {
    const { externalId } = runner;
    if (externalId === undefined) {
      const what = 'the nodes of Jenkins';
      const tree = `computer[${FIELDS}]`;
      const all = await this.#client.read('computer', tree, computersSchema, what, signal);
      return all?.computer.find(({ description }) => description === runner.name);
    }
    const what = `node ${externalId}`;
    return this.#client.read(pathOf(externalId), FIELDS, computerSchema, what, signal);
  }
}

function pathOf(node: string): string {
  return `computer/${encodeURIComponent(node)}`;
}

/** One that is closed and idle is ready to go; whether it is connected does not matter then. */
function stateOf({ idle, offline, temporarilyOffline }: Computer): RunnerState {
  if (!idle) return 'busy';
  return offline && !temporarilyOffline ? 'offline' : 'idle';
}

function jobOn({ executors }: Computer): string | undefined {
  for (const { currentExecutable } of executors) {
    const name = currentExecutable?.fullDisplayName ?? currentExecutable?.url;
    if (name !== undefined && name !== null) return name;
  }
  return undefined;
}

function nodeName(pattern: string, { name, runnerClass, worker }: RunnerOrder): string {
  const values: Readonly<Record<string, string>> = {
    ...{ host: worker.hostName, os: worker.osVersion.split('.')[0] ?? '' },
    ...{ pool: runnerClass.pool, team: runnerClass.team, worker: worker.id },
    fleet: name.split('-')[1] ?? '',
  };
  const filled = pattern.replaceAll(/\{(\w+)\}/g, (whole, key: string) => values[key] ?? whole);
  // A second try for the same worker has a number at the end of its name.
  const again = name.slice(name.indexOf(worker.id) + worker.id.length);
  return filled + again;
}
