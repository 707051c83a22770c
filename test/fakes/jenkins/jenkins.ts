import { createHmac, randomUUID } from 'node:crypto';
import { FakeWeb, type Answer, type Asked } from '../web.ts';

export interface FakeBuild {
  readonly id: number;
  /** Folders and name of its project; `team/app/PR-3`. */
  readonly project: string;
  readonly label: string;
  readonly seconds: number;
  /** A step of a pipeline: its label is in the reason why it waits alone. */
  readonly pipeline: boolean;
  readonly since: number;
  state: 'queued' | 'running' | 'success' | 'aborted' | 'failure';
  node: string | undefined;
  /** How often it was handed to a node. */
  starts: number;
}

interface FakeNode {
  readonly name: string;
  readonly description: string;
  readonly labels: readonly string[];
  readonly exclusive: boolean;
  temporarilyOffline: boolean;
  connected: boolean;
  heardAt: number;
  build: FakeBuild | undefined;
  builds: number;
}

export const USER = 'pomona';
export const TOKEN = '11aa22bb33cc44dd55ee66ff';
const POLL_MS = 1_000;
const OFFLINE_MS = 4_000;

/** Plays a Jenkins on loopback: its queue, nodes and crumbs, and the agents that connect to it. */
export class FakeJenkins {
  readonly builds: FakeBuild[] = [];
  readonly nodes = new Map<string, FakeNode>();
  /** Names of all nodes that there ever were. */
  readonly everCreated: string[] = [];
  /** Requests that are not as Jenkins wants them. */
  readonly violations: string[] = [];
  web!: FakeWeb;
  #crumb = randomUUID();
  #nextId = 1;

  static async start(): Promise<FakeJenkins> {
    const jenkins = new FakeJenkins();
    jenkins.web = await FakeWeb.start((asked, gone) => jenkins.#answer(asked, gone));
    return jenkins;
  }

  /** It stops for a while and starts again where it was: builds go on, agents come back. */
  async restart(ms: number): Promise<void> {
    const { port } = this.web;
    await this.web.close();
    for (const node of this.nodes.values()) node.connected = false;
    this.#crumb = randomUUID();
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.web = await FakeWeb.start((asked, gone) => this.#answer(asked, gone), port);
  }

  async close(): Promise<void> {
    await this.web.close();
  }

  queue(build: Partial<Pick<FakeBuild, 'project' | 'label' | 'seconds' | 'pipeline'>>): FakeBuild {
    const made: FakeBuild = {
      ...{ id: this.#nextId, project: 'team/app', label: 'mac', seconds: 0.2, pipeline: false },
      ...{ since: Date.now(), state: 'queued', node: undefined, starts: 0 },
      ...build,
    };
    this.#nextId += 1;
    this.builds.push(made);
    return made;
  }

  /** A person stops it: its node goes on. */
  abort(build: FakeBuild): void {
    const node = this.nodes.get(build.node ?? '');
    if (node !== undefined) node.build = undefined;
    build.state = 'aborted';
  }

  /** Crumbs that were given out are not accepted any more. */
  renewCrumbs(): void {
    this.#crumb = randomUUID();
  }

  isOnline(node: FakeNode): boolean {
    return node.connected && Date.now() - node.heardAt < OFFLINE_MS;
  }

  async #answer(asked: Asked, gone: AbortSignal): Promise<Answer> {
    const { method, path, headers, query, text } = asked;
    if (path === '/jnlpJars/agent.jar') return { status: 200, text: 'PK' };
    if (path.startsWith('/_agent/')) return this.#answerAgent(asked, gone);
    const wanted = `Basic ${Buffer.from(`${USER}:${TOKEN}`).toString('base64')}`;
    if (headers.authorization !== wanted) return { status: 401, text: '<html>401</html>' };
    if (method === 'POST' && headers['jenkins-crumb'] !== this.#crumb) {
      return { status: 403, text: '<html>No valid crumb was included in the request</html>' };
    }
    const node = this.nodes.get(decodeURIComponent(path.split('/')[2] ?? ''));
    const [, root = '', name = '', ...rest] = path.split('/');
    const ofNode = root === 'computer' && name !== 'api' && rest.length > 0;
    const at = ofNode ? `${method} /computer/X/${rest.join('/')}` : `${method} ${path}`;
    if (path.endsWith('/api/json') && method === 'GET' && path !== '/crumbIssuer/api/json') {
      if (query.get('tree') === null) this.violations.push(`${at}: the whole object, no tree`);
    }
    switch (at) {
      case 'GET /crumbIssuer/api/json':
        return {
          status: 200,
          json: { crumb: this.#crumb, crumbRequestField: 'Jenkins-Crumb' },
          headers: { 'set-cookie': 'JSESSIONID.x=1; Path=/; HttpOnly' },
        };
      case 'GET /whoAmI/api/json':
        return { status: 200, json: { name: USER, anonymous: false } };
      case 'GET /queue/api/json': {
        const items = this.builds.filter(({ state }) => state === 'queued');
        return { status: 200, json: { items: items.map((build) => this.#itemOf(build)) } };
      }
      case 'GET /computer/api/json': {
        const computer = [...this.nodes.values()].map((each) => this.#computerOf(each));
        return { status: 200, json: { computer: [builtIn(), ...computer] } };
      }
      case 'POST /computer/doCreateItem':
        return this.#create(query, new URLSearchParams(text));
      case 'GET /computer/X/api/json':
        if (node === undefined) return { status: 404, text: '<html>Not Found</html>' };
        return { status: 200, json: this.#computerOf(node) };
      case 'GET /computer/X/jenkins-agent.jnlp': {
        if (node === undefined) return { status: 404 };
        const secret = secretOf(node.name);
        const body = `<jnlp><application-desc><argument>${secret}</argument><argument>${node.name}</argument></application-desc></jnlp>`;
        return { status: 200, text: body };
      }
      case 'GET /computer/X/rssAll': {
        const entries = '<entry><title>a build</title></entry>'.repeat(node?.builds ?? 0);
        return { status: 200, text: `<feed>${entries}</feed>` };
      }
      case 'POST /computer/X/toggleOffline':
        if (node === undefined) return { status: 404 };
        node.temporarilyOffline = !node.temporarilyOffline;
        return redirect();
      case 'POST /computer/X/doDelete':
        if (node === undefined) return { status: 404 };
        if (node.build !== undefined) node.build.state = 'failure';
        this.nodes.delete(node.name);
        return redirect();
      default: {
        const project = /^GET (?:\/job\/[^/]+)+\/api\/json$/.test(at);
        if (!project) throw new Error(`the fake does not play ${at}`);
        const full = path.replaceAll('/job/', '/').replace('/api/json', '').slice(1);
        const build = this.builds.find((each) => each.project === decodeURIComponent(full));
        return { status: 200, json: { _class: 'x', labelExpression: build?.label } };
      }
    }
  }

  #create(query: URLSearchParams, form: URLSearchParams): Answer {
    const name = query.get('name') ?? '';
    const json = JSON.parse(form.get('json') ?? '{}') as Record<string, string>;
    for (const field of ['name', 'nodeDescription', 'numExecutors', 'remoteFS', 'labelString']) {
      if (typeof json[field] !== 'string') this.violations.push(`doCreateItem: no ${field}`);
    }
    if (this.nodes.has(name)) return { status: 400, text: `Agent called ‘${name}’ already exists` };
    const { nodeDescription: description = '', labelString = '', mode } = json;
    const labels = labelString.split(' ');
    this.nodes.set(name, {
      ...{ name, description, labels, exclusive: mode === 'EXCLUSIVE' },
      ...{ temporarilyOffline: false, connected: false, heardAt: 0, build: undefined, builds: 0 },
    });
    this.everCreated.push(name);
    return redirect();
  }

  #itemOf(build: FakeBuild) {
    const url = `${this.web.url}/job/${build.project.split('/').join('/job/')}/`;
    return {
      ...{ id: build.id, blocked: false, buildable: true, stuck: false },
      ...{ inQueueSince: build.since, why: `There are no nodes with the label ‘${build.label}’` },
      task: build.pipeline
        ? { name: `part of ${build.project} #7`, url: `${url}7/` }
        : { name: build.project.split('/').at(-1), url },
    };
  }

  #computerOf(node: FakeNode) {
    const { build } = node;
    const current = build && { fullDisplayName: `${build.project} #${build.id}`, url: 'u' };
    return {
      ...{ displayName: node.name, description: node.description, idle: build === undefined },
      ...{ temporarilyOffline: node.temporarilyOffline },
      offline: node.temporarilyOffline || !this.isOnline(node),
      executors: [{ currentExecutable: current ?? null }],
    };
  }

  async #answerAgent({ path, headers }: Asked, gone: AbortSignal): Promise<Answer> {
    const [, , name = '', what = '', id = ''] = path.split('/');
    const node = this.nodes.get(decodeURIComponent(name));
    if (node === undefined) return { status: 400, text: 'no such agent' };
    if (headers['x-secret'] !== secretOf(node.name)) return { status: 403 };
    node.heardAt = Date.now();
    if (what === 'connect') {
      if (node.connected) return { status: 409, text: `${name} is already connected` };
      node.connected = true;
      return { status: 200 };
    }
    if (what === 'done') {
      if (node.build?.id === Number(id)) {
        node.build.state = 'success';
        node.build = undefined;
      }
      return { status: 200 };
    }
    if (!node.connected) return { status: 410 };
    const until = Date.now() + POLL_MS;
    while (Date.now() < until && !gone.aborted && this.nodes.has(node.name)) {
      node.heardAt = Date.now();
      const build = this.#assign(node);
      if (build !== undefined) return { status: 200, text: `${build.id} ${build.seconds}\n` };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { status: this.nodes.has(node.name) ? 204 : 410 };
  }

  #assign(node: FakeNode): FakeBuild | undefined {
    if (node.temporarilyOffline || node.build !== undefined) return undefined;
    const build = this.builds.find(
      ({ state, label }) =>
        state === 'queued' && label.split('&&').every((each) => node.labels.includes(each.trim())),
    );
    if (build === undefined) return undefined;
    build.state = 'running';
    build.node = node.name;
    build.starts += 1;
    node.build = build;
    node.builds += 1;
    return build;
  }
}

/** Every Jenkins has it. */
function builtIn() {
  return {
    ...{ displayName: 'Built-In Node', description: "the Jenkins controller's built-in node" },
    ...{ idle: true, offline: false, temporarilyOffline: false, executors: [] },
  };
}

/** Of the name alone: so a name that is used again has the secret that it had. */
function secretOf(name: string): string {
  return createHmac('sha256', 'jenkins').update(name).digest('hex');
}

function redirect(): Answer {
  return { status: 302, headers: { location: '/computer/' } };
}
