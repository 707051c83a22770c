import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { create } from 'tar';
import type { Answer, Asked } from '../web.ts';

export interface FakeCheck {
  readonly id: number;
  readonly name: string;
  readonly head_sha: string;
  readonly external_id: string;
  status: string;
  conclusion: string | null;
  output: { title: string; summary: string; text?: string };
  actions: readonly { identifier: string }[];
}

interface FakeDelivery {
  readonly id: number;
  readonly guid: string;
  readonly delivered_at: string;
  readonly event: string;
  readonly body: string;
  readonly status_code: number;
}

/** The number of the App whose checks they are. */
export const APP_ID = 4711;

/** Commits with their files, checks of them, and deliveries of an App's webhook. */
export class FakeChecks {
  readonly commits = new Map<string, Readonly<Record<string, string>>>();
  readonly checks = new Map<number, FakeCheck>();
  readonly deliveries: FakeDelivery[] = [];
  /** What people may do in the repository. */
  readonly permissions = new Map<string, string>();
  /** An event as GitHub describes it, from what matters of it. */
  fill: (name: string, given: object) => unknown = (_name, given) => given;
  /** Sends a delivery and says the answer's status. */
  send: ((event: string, body: string, guid: string) => Promise<number>) | undefined;
  #nextId = 5_000;

  commit(files: Readonly<Record<string, string>>): string {
    const sha = randomUUID().replaceAll('-', '').padEnd(40, 'a');
    this.commits.set(sha, files);
    return sha;
  }

  /** The newest check of each name. */
  of(sha: string): Record<string, FakeCheck> {
    const mine = [...this.checks.values()].filter((check) => check.head_sha === sha);
    return Object.fromEntries(mine.map((check) => [check.name, check]));
  }

  async deliver(event: string, body: unknown, guid: string = randomUUID()): Promise<number> {
    const text = JSON.stringify(body);
    const status = (await this.send?.(event, text, guid)) ?? 0;
    this.#nextId += 1;
    this.deliveries.unshift({
      ...{ id: this.#nextId, guid, delivered_at: new Date().toISOString(), event, body: text },
      // What got no answer at all.
      status_code: status === 0 ? 502 : status,
    });
    return status;
  }

  push(sha: string, branch = 'main'): Promise<number> {
    const given = {
      ...{ ref: `refs/heads/${branch}`, after: sha, deleted: false },
      ...{ repository: { full_name: 'acme/app' }, sender: { login: 'octocat' } },
    };
    return this.deliver('push', this.fill('push$event', given));
  }

  pullRequest(sha: string, by: { login: string; association: string; repository: string }) {
    const given = {
      ...{ action: 'opened', repository: { full_name: 'acme/app' } },
      pull_request: {
        ...{ number: 7, author_association: by.association, user: { login: by.login } },
        ...{ base: { ref: 'main' }, head: { sha, repo: { full_name: by.repository } } },
      },
    };
    return this.deliver('pull_request', this.fill('pull_request$opened', given));
  }

  /** Somebody presses a button of a check: its own, or "Re-run". */
  press(check: FakeCheck, action: 'requested_action' | 'rerequested', login: string) {
    const { id, head_sha, external_id } = check;
    const given = {
      ...{ action, repository: { full_name: 'acme/app' }, sender: { login } },
      ...(action === 'rerequested' ? {} : { requested_action: { identifier: 'approve' } }),
      check_run: { id, head_sha, external_id, app: { id: APP_ID } },
    };
    return this.deliver('check_run', this.fill(`check_run$${action}`, given));
  }

  /** The answer to an operation on them; undefined when it is none. */
  operate(
    at: string,
    parameters: Readonly<Record<string, string>>,
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): { status: number; given?: unknown } | undefined {
    switch (at) {
      case 'POST /check-runs': {
        this.#nextId += 1;
        const check = {
          ...{ id: this.#nextId, conclusion: null, status: 'queued', actions: [] },
          ...body,
        } as unknown as FakeCheck;
        this.checks.set(check.id, check);
        return { status: 201, given: shown(check) };
      }
      case 'PATCH /check-runs/{check_run_id}': {
        const check = this.checks.get(Number(parameters['check_run_id']));
        if (check === undefined) return { status: 404, given: { message: 'Not Found' } };
        Object.assign(check, body);
        return { status: 200, given: shown(check) };
      }
      case 'GET /commits/{ref}/check-runs': {
        const newest = this.of(parameters['ref'] ?? '')[query.get('check_name') ?? ''];
        const checks = newest === undefined ? [] : [shown(newest)];
        return { status: 200, given: { total_count: checks.length, check_runs: checks } };
      }
      case 'GET /collaborators/{username}/permission': {
        const permission = this.permissions.get(parameters['username'] ?? '') ?? 'read';
        return { status: 200, given: { permission, role_name: permission } };
      }
      case 'GET /app/hook/deliveries': {
        const list = this.deliveries.map(({ body: _body, ...rest }) => ({
          ...{ ...rest, redelivery: false, duration: 0.1, status: String(rest.status_code) },
          ...{ action: null, installation_id: 77, repository_id: 1 },
        }));
        return { status: 200, given: list.slice(0, Number(query.get('per_page') ?? 30)) };
      }
      case 'POST /app/hook/deliveries/{delivery_id}/attempts': {
        const id = Number(parameters['delivery_id']);
        const found = this.deliveries.find((delivery) => delivery.id === id);
        if (found === undefined) return { status: 404, given: { message: 'Not Found' } };
        void this.deliver(found.event, JSON.parse(found.body), found.guid);
        return { status: 202, given: {} };
      }
      default:
        return undefined;
    }
  }

  /** Files as they are, and archives: no JSON that a description would be of. */
  async plain({ method, path, query }: Asked, base: string): Promise<Answer | undefined> {
    if (method !== 'GET') return undefined;
    const contents = /^\/repos\/[^/]+\/[^/]+\/contents\/(.+)$/.exec(path)?.[1];
    if (contents !== undefined) {
      const text = this.commits.get(query.get('ref') ?? '')?.[contents];
      if (text === undefined) return { status: 404, json: { message: 'Not Found' } };
      return { status: 200, text };
    }
    const tarball = /^\/repos\/[^/]+\/[^/]+\/tarball\/(.+)$/.exec(path)?.[1];
    if (tarball !== undefined) {
      return { status: 302, headers: { location: `${base}/_archive/${tarball}` } };
    }
    const archive = /^\/_archive\/(.+)$/.exec(path)?.[1];
    if (archive === undefined) return undefined;
    return { status: 200, bytes: await packed(this.commits.get(archive) ?? {}, archive) };
  }
}

function shown({ id, name, head_sha, external_id, status, conclusion }: FakeCheck) {
  const html_url = `https://github.example.org/acme/app/runs/${id}`;
  return { id, name, head_sha, external_id, status, conclusion, html_url };
}

/** As GitHub packs it: all in one directory, named after the commit. */
async function packed(files: Readonly<Record<string, string>>, sha: string): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-archive-'));
  const top = `acme-app-${sha.slice(0, 7)}`;
  try {
    for (const [name, text] of Object.entries(files)) {
      const path = join(dir, top, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    }
    await create({ cwd: dir, gzip: true, file: join(dir, 'a.tgz'), portable: true }, [top]);
    return await readFile(join(dir, 'a.tgz'));
  } finally {
    await rm(dir, { recursive: true });
  }
}
