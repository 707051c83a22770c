import type { SeenRunner } from '../../../domain/ci/ci-job.ts';
import { GithubAuth } from '../github/auth.ts';
import { levelUrl } from '../github/settings.ts';
import { readSigned } from '../github/webhook.ts';
import {
  type CiDriver,
  type CiDriverEntry,
  type CiTools,
  type PreparedRunner,
  type RunnerEnd,
  type RunnerOrder,
} from '../ci.ts';
import { CiHttp } from '../http/http.ts';
import { tried } from '../tried.ts';
import { Checks } from './checks.ts';
import { FailedDeliveries } from './deliveries.ts';
import { NativeEvents, pipelineAt } from './events.ts';
import { readPipeline } from './pipeline.ts';
import type { NativeSettings } from './settings.ts';

const CONCLUSIONS = {
  succeeded: 'success',
  failed: 'failure',
  'timed-out': 'timed_out',
  cancelled: 'cancelled',
} as const;

/**
 * No CI server at all: a repository's `.pomona.yaml` says what runs, GitHub tells of pushes and pull
 * requests, and checks of commits say how it went. Its runners are the jobs themselves, each made
 * for one check, which its group names: repository, commit, check and job.
 */
function openNative(settings: NativeSettings, tools: CiTools): CiDriver {
  const auth = new GithubAuth(settings, tools);
  const http = new CiHttp({
    ...{ base: settings.api, clock: tools.clock },
    headers: (signal) => auth.headers(signal),
  });
  const checks = new Checks(http);
  const events = new NativeEvents(settings, http, checks);
  const deliveries = new FailedDeliveries(auth.asApp);

  async function prepare(
    { runnerClass }: Pick<RunnerOrder, 'runnerClass'>,
    signal: AbortSignal,
  ): Promise<PreparedRunner> {
    const { repository, sha, checkId, job: name } = partsOf(runnerClass.group);
    const text = await pipelineAt(http, repository, sha, signal);
    const pipeline = readPipeline(text ?? '');
    const job = 'jobs' in pipeline ? pipeline.jobs[name] : undefined;
    if (job === undefined) return failing(checkId, `.pomona.yaml has no job ${name} any more`);
    const secretEnv: Record<string, string> = {};
    for (const secret of runnerClass.trust === 'trusted' ? job.secrets : []) {
      if (!settings.secrets.includes(secret)) {
        const why = `job ${name} asks for the secret ${secret}, which is not among the \`secrets\` that this integration gives to repositories`;
        return failing(checkId, why);
      }
      secretEnv[secret] = await tools.secret(secret);
    }
    const url = `${settings.api}/repos/${repository}/tarball/${sha}`;
    const source = await tools.fetchSource({ url, headers: await auth.headers(signal) }, signal);
    const output = { title: 'It runs', summary: `On a worker of pool ${runnerClass.pool}` };
    await checks.update(repository, checkId, { status: 'in_progress' }, output, signal);
    return {
      externalId: checkId,
      command: ['/bin/sh', '-c', IN_REPOSITORY, 'job', job.run],
      env: { ...job.env, CI: 'true', POMONA_REPOSITORY: repository, POMONA_COMMIT: sha },
      ...{ secretEnv, source, timeoutMs: job.timeout },
      // The archive has everything in one directory.
      artifacts: job.artifacts.map((glob) => `*/${glob}`),
    };
  }

  async function seen(): Promise<SeenRunner[]> {
    return (await tools.running()).map(({ name }) => ({ name, state: 'busy' }));
  }

  /** Says how a job ended. One that was lost waits for another worker. */
  async function tell(ending: RunnerEnd, signal: AbortSignal): Promise<void> {
    const { repository, checkId } = partsOf(ending.group);
    if (ending.outcome === 'lost') {
      const output = { title: 'It waits for another worker', summary: ending.reason ?? '' };
      return checks.update(repository, checkId, { status: 'queued' }, output, signal);
    }
    const { outcome, exitCode, reason } = ending;
    const code = exitCode === undefined ? '' : ` with exit code ${exitCode}`;
    const why = reason === undefined ? '' : ` (${reason})`;
    const summary = `The job ${outcome === 'timed-out' ? 'took too long' : outcome}${code}${why}.`;
    const output = { title: outcome, summary, log: await ending.tail() };
    const conclusion = CONCLUSIONS[outcome];
    await checks.update(repository, checkId, { conclusion }, output, signal);
  }

  return {
    location: levelUrl(settings),
    exact: false,
    runsJobs: true,
    impliedLabels: [],
    async look(signal) {
      await deliveries.sweep(tools.clock.now(), signal);
      // What waits is told once, and written down before the delivery is answered.
      return { complete: [], jobs: [], runners: await seen() };
    },
    async receive(delivery) {
      const secret = await tools.secret(settings.webhookSecret);
      const { id, event, what, json } = readSigned(delivery, secret);
      return { id, what, once: true, news: (signal) => events.news(event, json, signal) };
    },
    prepare,
    find: async ({ name }) =>
      (await seen()).some((each) => each.name === name) ? 'busy' : 'absent',
    async remove({ name }, force, signal, ending) {
      if (!force) return (await seen()).some((each) => each.name === name) ? 'busy' : 'removed';
      if (ending !== undefined) await tell(ending, signal);
      return 'removed';
    },
    meaningOf: () => 'served',
    async check(signal) {
      const app = await tried(
        'credential',
        async () => {
          await auth.token(signal);
          return `App ${settings.credential.id}`;
        },
        'an App that is installed there, with its private key',
      );
      if (!app.ok) return [app];
      const webhook = await tried(
        'deliveries',
        async () => {
          await tools.secret(settings.webhookSecret);
          await auth.asApp.ask(
            { path: 'app/hook/deliveries?per_page=1', what: "the App's deliveries" },
            signal,
          );
          return 'those that did not arrive can be asked for again';
        },
        "the App's webhook, with the events Push, Pull request and Check run, and its secret",
      );
      return [app, webhook];
    },
  };
}

/** What cannot be run says why in its own log. */
function failing(checkId: string, why: string): PreparedRunner {
  const command = ['/bin/sh', '-c', 'echo "pomona: $1" >&2; exit 1', 'job', why];
  return { externalId: checkId, command, env: {}, secretEnv: {} };
}

/** Into the one directory of the archive, and there the job's script, to its first failure. */
const IN_REPOSITORY = `
set -eu
for directory in */; do cd -- "$directory"; break; done
exec /bin/sh -e -c "$1"
`.trim();

function partsOf(group = '') {
  const [repository = '', sha = '', checkId = '', job = ''] = group.split(' ');
  return { repository, sha, checkId, job };
}

export const nativeDriver: CiDriverEntry<NativeSettings> = { name: 'native', open: openNative };
