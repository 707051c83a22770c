/**
 * Claims: how soon a job of a CI system starts on a fresh worker after the event that asks for it,
 * with workers booted before and without; Buildbot's own local worker in the same run; and how long
 * 1,000 queued jobs take. GitHub and Jenkins are played on loopback and cost processor time of
 * their own; Buildbot is a real one. Linux only. Takes about fifteen minutes: registered runners are seen at looks.
 *
 *   node bench/ci.ts [github|standby|scale-set|jenkins|buildbot|drain]...      (default: all)
 */
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { printTable } from '../src/cli/output.ts';
import {
  githubConfig,
  integration,
  pomonaWith,
  startGithub,
  WEBHOOK_SECRET,
} from '../test/ci-fixture.ts';
import { FakeJenkins, TOKEN, USER } from '../test/fakes/jenkins/jenkins.ts';
import type { Pomona } from '../test/system/pomona.ts';
import { Buildbot, whyNoBuildbot } from './support/buildbot.ts';
import { machine, median, percentile } from './support/measure.ts';

const ROUNDS = 10;
const DRAINED = 1_000;
const AGENT = fileURLToPath(new URL('../test/fakes/jenkins/agent.sh', import.meta.url));

interface Case {
  readonly name: string;
  /** From the event to the start of the job, ms. */
  readonly started: readonly number[];
}

const wanted = new Set(process.argv.slice(2));
const is = (name: string) => wanted.size === 0 || wanted.has(name);
const cases: Case[] = [];

console.log(`${new Date().toISOString()}: ${machine()}\n`);
if (is('github')) {
  cases.push(await github('GitHub by webhook, booted workers', 1, {}));
  cases.push(await github('GitHub by webhook, no workers', 0, {}));
}
if (is('standby')) {
  const routes = [{ labels: ['mac'], pool: 'macs', standby: 1 }];
  cases.push(await github('GitHub by webhook, registered runners', 1, { routes }));
}
if (is('scale-set')) {
  const set = { scaleSet: 'mac', trust: { unknown: 'trusted' } };
  cases.push(await github('GitHub by scale set, booted workers', 1, set));
}
if (is('jenkins')) {
  cases.push(await jenkins('Jenkins, booted workers', 1));
  cases.push(await jenkins('Jenkins, no workers', 0));
}
if (is('buildbot')) await buildbot();
printTable(
  ['EVENT TO JOB STARTED', 'P50', 'P95', 'JOBS'],
  cases.map(({ name, started }) => [
    ...[name, `${Math.round(median(started))} ms`, `${Math.round(percentile(started, 95))} ms`],
    String(started.length),
  ]),
);
const local = cases.find(({ name }) => name.includes('own local worker'));
for (const { name, started } of cases) {
  if (local === undefined || local.name === name || !name.startsWith('Buildbot')) continue;
  const ratio = median(started) / median(local.started);
  console.log(`${name}: ${ratio.toFixed(1)} times what Buildbot's own local worker takes`);
}
if (is('drain')) await drain();
console.log(`\nat the end: ${machine()}`);

/** Rounds of one job at a time, each once everything is as it was. */
async function rounds(
  name: string,
  begin: () => { started(): boolean; over(): boolean },
  settled: () => Promise<boolean>,
): Promise<Case> {
  const started: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await until(settled);
    const at = performance.now();
    const job = begin();
    while (!job.started()) await sleep(2);
    started.push(performance.now() - at);
    await until(async () => job.over());
  }
  process.stderr.write(`${name}: ${started.map(Math.round).join(' ')}\n`);
  return { name, started };
}

async function github(name: string, ready: number, more: object): Promise<Case> {
  const hub = await startGithub();
  const pools = [{ name: 'macs', labels: ['mac'], ready, max: 4 }];
  const config = githubConfig(hub, { lookEvery: '60s', ...more });
  const pomona = await pomonaWith({ pools, integrations: [config] });
  hub.webhooks = { url: webhook(pomona), secret: WEBHOOK_SECRET };
  try {
    return await rounds(
      name,
      () => {
        const job = hub.hub.push({ repository: 'acme/app', labels: ['mac'] });
        const { queued, completed } = { queued: 'queued', completed: 'completed' } as const;
        return { started: () => job.status !== queued, over: () => job.status === completed };
      },
      () => isSettled(pomona, 'gh', ready, 'routes' in more ? 1 : 0),
    );
  } finally {
    await pomona.remove();
    await hub.close();
  }
}

async function jenkins(name: string, ready: number): Promise<Case> {
  const fake = await FakeJenkins.start();
  const image = await mkdtemp(join(tmpdir(), 'pomona-bench-image-'));
  await mkdir(join(image, 'home', 'bin'), { recursive: true });
  await cp(AGENT, join(image, 'home', 'bin', 'java'));
  const about = { name: 'ci', kind: 'jenkins', url: fake.web.url, user: USER, token: 'TOKEN' };
  const pools = [{ name: 'macs', labels: ['mac'], image: 'ci', ready, max: 4 }];
  const integrations = [{ ...about, java: '~/bin/java' }];
  const pomona = await pomonaWith({ pools, integrations }, { TOKEN });
  await pomona.run(['image', 'import', 'ci', image]);
  try {
    return await rounds(
      name,
      () => {
        const build = fake.queue({ seconds: 0 });
        const open = () => build.state === 'queued' || build.state === 'running';
        return { started: () => build.state !== 'queued', over: () => !open() };
      },
      async () => fake.nodes.size === 0 && isSettled(pomona, 'ci', ready, 0),
    );
  } finally {
    await pomona.remove();
    await fake.close();
    await rm(image, { recursive: true });
  }
}

async function buildbot(): Promise<void> {
  const why = await whyNoBuildbot();
  if (why !== undefined) {
    console.log(`Buildbot is left out: ${why}`);
    return;
  }
  const local = await Buildbot.start();
  try {
    cases.push(await builds('Buildbot with its own local worker', local, async () => true));
  } finally {
    await local.remove();
  }
  for (const ready of [1, 0]) {
    const master = await Buildbot.start({ worker: 'others' });
    const about = {
      ...{ name: 'bb', kind: 'buildbot', url: master.web, master: master.master },
      ...{ twistd: '/usr/bin/twistd3', workers: [{ names: ['w1'], password: 'PASSWORD' }] },
    };
    const pools = [{ name: 'macs', labels: ['mac'], ready, max: 4 }];
    const pomona = await pomonaWith({ pools, integrations: [about] }, { PASSWORD: 'pw' });
    const workers = ready === 1 ? 'booted workers' : 'no workers';
    try {
      const settled = () => isSettled(pomona, 'bb', ready, 0);
      cases.push(await builds(`Buildbot with ours, ${workers}`, master, settled));
    } finally {
      await pomona.remove();
      await master.remove();
    }
  }
}

async function builds(
  name: string,
  master: Buildbot,
  settled: () => Promise<boolean>,
): Promise<Case> {
  const started: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await until(settled);
    started.push((await master.build()).startedMs);
  }
  process.stderr.write(`${name}: ${started.map(Math.round).join(' ')}\n`);
  return { name, started };
}

async function drain(): Promise<void> {
  const hub = await startGithub();
  const pools = [{ name: 'macs', labels: ['mac'], ready: 8, max: 16 }];
  const config = githubConfig(hub, { lookEvery: '60s' });
  const pomona = await pomonaWith({ pools, integrations: [config], agent: { workers: 16 } });
  hub.webhooks = { url: webhook(pomona), secret: WEBHOOK_SECRET };
  try {
    await until(() => isSettled(pomona, 'gh', 8, 0));
    const at = performance.now();
    const jobs = Array.from({ length: DRAINED }, () =>
      hub.hub.push({ repository: 'acme/app', labels: ['mac'] }),
    );
    while (jobs.some(({ status }) => status !== 'completed')) await sleep(50);
    const seconds = (performance.now() - at) / 1000;
    const made = hub.hub.everRegistered.length;
    const rate = (DRAINED / seconds).toFixed(1);
    console.log(
      `\n${DRAINED} queued jobs: ${seconds.toFixed(0)} s, ${rate} a second, ${made} runners`,
    );
  } finally {
    await pomona.remove();
    await hub.close();
  }
}

/** Nothing runs, and what is to be ready is. */
async function isSettled(
  pomona: Pomona,
  name: string,
  ready: number,
  idle: number,
): Promise<boolean> {
  const { runners, state } = await integration(pomona, name);
  const workers = await pomona.json<{ state: string }[]>(['worker', 'list']);
  const busy = runners.waiting + runners.starting + runners.busy + runners.removing;
  const waits = workers.filter((worker) => worker.state === 'ready').length;
  const all = workers.length === ready + idle;
  return state === 'ok' && busy === 0 && runners.idle === idle && waits === ready && all;
}

function webhook(pomona: Pomona): string {
  return `http://127.0.0.1:${pomona.port}/webhooks/gh`;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('it does not settle within two minutes');
    await sleep(100);
  }
}
