import { z } from 'zod';
import type { CiDriver, CiDriverEntry, CiTools, PreparedRunner } from '../ci.ts';
import { tried } from '../tried.ts';
import { JenkinsClient } from './client.ts';
import { JenkinsNodes } from './nodes.ts';
import { JenkinsQueue } from './queue.ts';
import type { JenkinsSettings } from './settings.ts';

/**
 * Jenkins: an inbound agent for one build. Its node is made when a worker is ready, closed to other
 * builds when it has one, and deleted after it. Agents that lose their Jenkins come back to it.
 */
function openJenkins(settings: JenkinsSettings, tools: CiTools): CiDriver {
  const client = new JenkinsClient(settings, tools);
  const queue = new JenkinsQueue(client, settings.folders);
  const nodes = new JenkinsNodes(client, settings);
  let waited = new Set<string>();

  return {
    location: settings.url,
    exact: true,
    impliedLabels: [],
    async look(signal) {
      // Nodes first: a build that is taken in between leaves an idle node for a moment.
      const runners = await nodes.list(tools.owned, signal);
      const jobs = await queue.jobs(tools.clock.now(), signal);
      const left = [...waited].some((key) => !jobs.some((job) => job.key === key));
      // A build may have come and gone between two looks; then its node has had its build.
      const seen = left
        ? await Promise.all(
            runners.map(async (runner) => {
              if (runner.state !== 'idle') return runner;
              const hadJob = await nodes.hadBuild(runner.externalId ?? '', signal);
              return { ...runner, hadJob };
            }),
          )
        : runners;
      waited = new Set(jobs.map(({ key }) => key));
      return { complete: 'all', jobs, runners: seen };
    },
    async prepare(order, signal): Promise<PreparedRunner> {
      const { node, secret } = await nodes.create(order, signal);
      return {
        externalId: node,
        command: ['/bin/sh', '-c', START],
        env: {
          ...{ JENKINS_URL: settings.url, JENKINS_AGENT_NAME: node },
          ...{ JENKINS_AGENT_DIRECTORY: settings.workDirectory, JENKINS_JAVA: settings.java },
          JENKINS_WEB_SOCKET: String(settings.connection === 'websocket'),
        },
        secretEnv: { JENKINS_SECRET: secret },
      };
    },
    find: (runner, signal) => nodes.find(runner, signal),
    remove: (runner, force, signal) => nodes.remove(runner, force, signal),
    takeNoMore: (runner, signal) => nodes.takeNoMore(runner, signal),
    async check(signal) {
      const who = z.object({ name: z.string(), anonymous: z.boolean().optional() });
      const me = await tried(
        'credential',
        async () => {
          const found = await client.read('whoAmI', 'name,anonymous', who, 'the user', signal);
          return `user ${found?.name}`;
        },
        'the secret of `token` has to be an API token of `user`',
      );
      if (!me.ok) return [me];
      return [
        me,
        await tried(
          'queue',
          async () => `${(await queue.jobs(tools.clock.now(), signal)).length} builds wait`,
          'permissions Overall/Read and Job/Read',
        ),
        await tried(
          'nodes',
          async () => `${(await nodes.list(tools.owned, signal)).length} of this fleet`,
          'permissions Agent/Create, Agent/Configure, Agent/Connect, Agent/Delete, Agent/Disconnect',
        ),
      ];
    },
  };
}

/**
 * Fetches the agent of that Jenkins and becomes it. The secret is read from a file: a command line
 * can be seen by every process.
 */
const START = `
set -eu
case $JENKINS_AGENT_DIRECTORY in '~/'*) JENKINS_AGENT_DIRECTORY=$HOME/\${JENKINS_AGENT_DIRECTORY#'~/'} ;; esac
case $JENKINS_JAVA in '~/'*) JENKINS_JAVA=$HOME/\${JENKINS_JAVA#'~/'} ;; esac
mkdir -p "$JENKINS_AGENT_DIRECTORY"
cd "$JENKINS_AGENT_DIRECTORY"
(umask 077; printf %s "$JENKINS_SECRET" > agent.secret)
unset JENKINS_SECRET
for tries in 1 2 3 4 5; do
  curl -fsSL -o agent.jar "$JENKINS_URL/jnlpJars/agent.jar" && break
  [ "$tries" = 5 ] && { echo "pomona: no agent.jar from $JENKINS_URL" >&2; exit 1; }
  sleep "$tries"
done
set -- -url "$JENKINS_URL" -name "$JENKINS_AGENT_NAME" -secret @agent.secret -workDir "$PWD"
[ "$JENKINS_WEB_SOCKET" = true ] && set -- "$@" -webSocket
exec "$JENKINS_JAVA" -jar agent.jar "$@"
`.trim();

export const jenkinsDriver: CiDriverEntry<JenkinsSettings> = { name: 'jenkins', open: openJenkins };
