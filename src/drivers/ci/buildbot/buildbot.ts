import type { CiJob, SeenRunner } from '../../../domain/ci/ci-job.ts';
import {
  CiError,
  type CiDriver,
  type CiDriverEntry,
  type CiTools,
  type RunnerName,
} from '../ci.ts';
import { tried } from '../tried.ts';
import { BuildbotApi, type Build, type Worker } from './api.ts';
import { followEvents } from './events.ts';
import type { BuildbotSettings, BuildbotWorkers } from './settings.ts';

/**
 * Buildbot, without a change of the master: its configuration names workers, and a worker of such
 * a name is started when a build waits for it, for one build. The master knows a machine by the
 * name of its worker; which machine it is, the worker tells as its host. A build may be over before
 * anybody looks, so the worker's exit code says whether it had one.
 */
function openBuildbot(settings: BuildbotSettings, tools: CiTools): CiDriver {
  const api = new BuildbotApi(settings, tools);
  const ours = new Map<string, BuildbotWorkers>(
    settings.workers.flatMap((group) => group.names.map((name) => [name, group] as const)),
  );

  function seen(workers: readonly Worker[], builds: readonly Build[]): SeenRunner[] {
    return workers.flatMap((worker): SeenRunner[] => {
      const name = worker.workerinfo?.host ?? '';
      if (worker.connected_to.length === 0 || !name.startsWith(tools.owned)) return [];
      const build = builds.find(({ workerid }) => workerid === worker.workerid);
      const runner = { name, externalId: worker.name };
      if (build === undefined) return [{ ...runner, state: 'idle' }];
      const job = `build ${build.number} of builder ${build.builderid}`;
      return [{ ...runner, state: 'busy', job }];
    });
  }

  async function look(signal: AbortSignal) {
    const builders = await api.builders(signal);
    const workers = await api.workers(signal);
    const builds = await api.builds(signal);
    const waiting = await api.waiting(signal);
    const taken = new Set(builds.map(({ workerid }) => workerid));
    const jobs: CiJob[] = [];
    for (const request of waiting) {
      // Always the same worker for the same requests, so that looks do not differ for nothing.
      const worker = workers.find(
        ({ workerid, name, paused, configured_on: on }) =>
          ours.has(name) &&
          paused !== true &&
          !taken.has(workerid) &&
          on.some(({ builderid }) => builderid === request.builderid),
      );
      if (worker === undefined) continue;
      taken.add(worker.workerid);
      const builder = builders.get(request.builderid) ?? String(request.builderid);
      const fork = await api.isForeign(request.buildsetid, signal);
      jobs.push({
        ...{ key: String(request.buildrequestid), state: 'queued', source: builder },
        ...{ labels: ours.get(worker.name)?.labels ?? [], group: worker.name },
        title: `${builder}, request ${request.buildrequestid}`,
        url: `${settings.url}/#/buildrequests/${request.buildrequestid}`,
        event: { name: fork ? 'change-request' : 'build', fork },
        ...(request.submitted_at === undefined || request.submitted_at === null
          ? {}
          : { queuedAt: request.submitted_at * 1000 }),
      });
    }
    return { complete: 'all' as const, jobs, runners: seen(workers, builds) };
  }

  async function find(runner: RunnerName, signal: AbortSignal) {
    const workers = await api.workers(signal);
    const found = seen(workers, await api.builds(signal));
    return found.find(({ name }) => name === runner.name);
  }

  return {
    location: settings.url,
    exact: true,
    impliedLabels: [],
    look,
    follow: (tell, signal) => followEvents(settings.url, () => tell({ look: true }), signal),
    async prepare({ name, runnerClass }) {
      const worker = runnerClass.group ?? '';
      const group = ours.get(worker);
      if (group === undefined) {
        throw new CiError('refused', `worker ${worker} is not among the integration's workers`);
      }
      return {
        externalId: worker,
        command: ['/bin/sh', '-c', START, 'worker', settings.twistd],
        env: { BUILDBOT_MASTER: settings.master, BUILDBOT_WORKER: worker, BUILDBOT_HOST: name },
        secretEnv: { BUILDBOT_PASSWORD: await tools.secret(group.passwordSecret) },
      };
    },
    meaningOf: (exitCode) => (exitCode === 0 ? 'served' : undefined),
    find: async (runner, signal) => (await find(runner, signal))?.state ?? 'absent',
    /** The master's configuration keeps the name; the machine behind it disconnects. */
    async remove(runner, force, signal) {
      const before = await find(runner, signal);
      if (before === undefined) return 'removed';
      if (before.state === 'busy' && !force) return 'busy';
      await api.stop(before.externalId ?? '', signal);
      const after = await find(runner, signal);
      return after?.state === 'busy' && !force ? 'busy' : 'removed';
    },
    async check(signal) {
      const master = await tried(
        'master',
        async () => `${(await api.builders(signal)).size} builders`,
        "the master's web server (c['www']), and a user who may look",
      );
      if (!master.ok) return [master];
      const known = new Set((await api.workers(signal)).map(({ name }) => name));
      const missing = [...ours.keys()].filter((name) => !known.has(name));
      const fine = missing.length === 0;
      const advice = `not in c['workers'] of the master: ${missing.join(', ')}`;
      const passwords = await tried(
        'passwords',
        async () => {
          for (const { passwordSecret } of settings.workers) await tools.secret(passwordSecret);
          return 'their secrets are set';
        },
        "the passwords of c['workers']",
      );
      const detail = fine ? `the master knows ${[...ours.keys()].join(', ')}` : advice;
      return [master, { what: 'workers', ok: fine, detail }, passwords];
    },
  };
}

/** The worker's exit code when it had no build: "try again later" (sysexits.h). */
const NO_BUILD = 75;

/**
 * Becomes a worker that asks the master for its shutdown as soon as its first build begins: the
 * master gives it no second one, and ends it after the first. A second one that was under way by
 * then is refused, and the master tries it again elsewhere. The password is taken from the
 * environment before a build could see it. Without its master it ends.
 */
const START = `
set -eu
mkdir -p info
printf '%s\\n' "$BUILDBOT_HOST" > info/host
cat > buildbot.tac <<'END'
import os
from buildbot_worker import pb
from buildbot_worker.bot import Worker
from twisted.application import service
host, _, port = os.environ.pop('BUILDBOT_MASTER').rpartition(':')
name, password = os.environ.pop('BUILDBOT_WORKER'), os.environ.pop('BUILDBOT_PASSWORD')
from twisted.internet import reactor
application = service.Application('buildbot-worker')
worker = Worker(host, int(port), name, password, os.getcwd(), keepalive=60, umask=None, maxdelay=10, maxRetries=6)
worker.setServiceParent(application)
start_build = pb.WorkerForBuilderPbLike.remote_startBuild
def start_one_build(self):
    global served
    if served:
        raise RuntimeError('this machine takes one build, and has one')
    served = True
    worker.gracefulShutdown()
    return start_build(self)
served = False
pb.WorkerForBuilderPbLike.remote_startBuild = start_one_build
reactor.addSystemEventTrigger('after', 'shutdown', lambda: os._exit(0 if served else ${NO_BUILD}))
END
exec "$1" --nodaemon --pidfile= --logfile=- --no_save -y buildbot.tac
`.trim();

export const buildbotDriver: CiDriverEntry<BuildbotSettings> = {
  name: 'buildbot',
  open: openBuildbot,
};
