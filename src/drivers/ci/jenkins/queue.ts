import { z } from 'zod';
import type { CiJob } from '../../../domain/ci/ci-job.ts';
import type { JenkinsClient } from './client.ts';

const itemSchema = z.object({
  id: z.int(),
  blocked: z.boolean(),
  buildable: z.boolean(),
  inQueueSince: z.number(),
  why: z.string().nullish(),
  task: z.object({ name: z.string().optional(), url: z.string().optional() }),
});
type Item = z.output<typeof itemSchema>;

const queueSchema = z.object({ items: z.array(itemSchema) });
const TREE = 'items[id,blocked,buildable,inQueueSince,why,task[name,url]]';

const projectSchema = z.object({ labelExpression: z.string().nullish() });
/** Projects whose label is remembered, and for how long. */
const LABEL_KNOWN_MS = 300_000;
const MOST_LABELS = 5_000;

/** A change request of a branch source: Jenkins calls its job `PR-12`, or `PR-12-merge`. */
const CHANGE_REQUEST = /^PR-\d+(-|$)/;

/** The builds that wait in a Jenkins for an executor. */
export class JenkinsQueue {
  readonly #client: JenkinsClient;
  readonly #folders: readonly string[];
  readonly #labels = new Map<string, { label: string; at: number }>();

  constructor(client: JenkinsClient, folders: readonly string[]) {
    this.#client = client;
    this.#folders = folders;
  }

  async jobs(now: number, signal: AbortSignal): Promise<CiJob[]> {
    const what = 'the queue of Jenkins';
    const queue = await this.#client.read('queue', TREE, queueSchema, what, signal);
    const jobs: CiJob[] = [];
    for (const item of queue?.items ?? []) {
      const source = sourceOf(item.task.url ?? '');
      if (item.blocked || !item.buildable || !this.#isMine(source)) continue;
      jobs.push({
        ...{ key: `${item.id}@${item.inQueueSince}`, state: 'queued', source },
        labels: labelsIn(await this.#labelOf(item, now, signal)),
        title: item.task.name ?? source,
        ...(item.task.url === undefined ? {} : { url: item.task.url }),
        event: eventOf(source),
        queuedAt: item.inQueueSince,
      });
    }
    return jobs;
  }

  #isMine(source: string): boolean {
    const { length } = this.#folders;
    return length === 0 || this.#folders.some((folder) => source.startsWith(`${folder}/`));
  }

  /**
   * The queue does not say what label a build wants. A project says it; a step of a pipeline has
   * it in the reason why it waits alone, between quotes in every language.
   */
  async #labelOf(item: Item, now: number, signal: AbortSignal): Promise<string> {
    const quoted = [...(item.why ?? '').matchAll(/[‘"“]([^’"”]+)[’"”]/gu)].at(-1)?.[1];
    const { url } = item.task;
    if (url === undefined || /\/\d+\/$/.test(url)) return quoted ?? '';
    const known = this.#labels.get(url);
    if (known !== undefined && now - known.at < LABEL_KNOWN_MS) return known.label;
    const path = `job/${sourceOf(url).split('/').map(encodeURIComponent).join('/job/')}`;
    const what = `the project at ${url}`;
    const project = await this.#client.read(path, 'labelExpression', projectSchema, what, signal);
    const label = project?.labelExpression ?? quoted ?? '';
    this.#labels.set(url, { label, at: now });
    if (this.#labels.size > MOST_LABELS) this.#labels.clear();
    return label;
  }
}

/** Folders and name of what a URL of Jenkins names: `team/app` of `…/job/team/job/app/12/`. */
export function sourceOf(url: string): string {
  const parts = [...url.matchAll(/\/job\/([^/]+)/g)].map(([, part]) =>
    decodeURIComponent(part ?? ''),
  );
  return parts.join('/');
}

/** Labels of an expression that joins them by `&&`; another expression is one label, as it stands. */
export function labelsIn(expression: string): string[] {
  const text = expression.trim();
  if (text === '') return [];
  if (/\|\||!|->|[()]/.test(text)) return [text];
  return text.split('&&').map((part) => part.trim().replaceAll('"', ''));
}

function eventOf(source: string): CiJob['event'] {
  const name = source.split('/').at(-1) ?? '';
  // Anybody may open one, and Jenkins does not tell from where.
  if (CHANGE_REQUEST.test(name)) return { name: 'change-request', fork: true };
  return { name: 'build', fork: false };
}
