import type { CheckLine, CiDriver, CiDriverEntry, CiTools, Delivery } from '../ci.ts';
import { CiHttp } from '../http/http.ts';
import { GithubAuth } from './auth.ts';
import { checkGithub } from './check.ts';
import { GithubJobs } from './jobs.ts';
import { GithubListing } from './listing.ts';
import { RunnerProgram, VERSION_DEPRECATED } from './runner-program.ts';
import { GithubRunners } from './runners.ts';
import { ScaleSet } from './scale-set.ts';
import { levelUrl, type GithubSettings } from './settings.ts';
import { readDelivery } from './webhook.ts';

/** GitHub's secondary limit is 100 requests at once; others use the same account. */
const CONCURRENCY = 10;

/**
 * GitHub Actions: runners with just-in-time configurations, which take one job and are forgotten.
 * What is wanted comes by webhooks and looks, or from the queue of a runner scale set.
 */
function openGithub(settings: GithubSettings, tools: CiTools): CiDriver {
  const auth = new GithubAuth(settings, tools);
  const http = new CiHttp({
    base: settings.api,
    clock: tools.clock,
    headers: (signal) => auth.headers(signal),
    concurrency: CONCURRENCY,
  });
  const jobs = new GithubJobs(http, settings);
  const listing = new GithubListing(http, settings, jobs);
  const runners = new GithubRunners(http, settings);
  const program = new RunnerProgram(http, settings);
  const { scaleSet: name, webhookSecret } = settings;
  const scaleSet =
    name === undefined ? undefined : new ScaleSet(name, settings, { tools, http, runners });

  return {
    location: levelUrl(settings),
    exact: scaleSet !== undefined,
    impliedLabels: ['self-hosted'],
    async look(signal) {
      if (scaleSet !== undefined) {
        const seen = await listing.runners(tools.owned, signal);
        return { complete: 'all', jobs: await scaleSet.waiting(signal), runners: seen };
      }
      // Runners first: a job that is taken in between leaves an idle runner for a moment. The other
      // way round it would look as if its runner were missing.
      const seen = await listing.runners(tools.owned, signal);
      const found = await listing.jobs(tools.clock.now(), signal);
      return { complete: found.sources, jobs: found.jobs, runners: seen };
    },
    ...(scaleSet === undefined ? {} : { follow: (tell, signal) => scaleSet.follow(tell, signal) }),
    ...(webhookSecret === undefined
      ? {}
      : {
          receive: async (delivery: Delivery) =>
            readDelivery(delivery, await tools.secret(webhookSecret), { jobs, listing }),
        }),
    async prepare(order, signal) {
      const { labels } = order.runnerClass;
      // The credential last: what fails before it leaves nothing behind.
      const file = await program.source(order.worker, tools.clock.now(), signal);
      const source = file && (await tools.keepSource(file, signal));
      const made =
        scaleSet === undefined
          ? await runners.register(order.name, labels, signal)
          : await scaleSet.register(order.name, signal);
      return { ...program.payload(source, made.jitConfig), externalId: made.externalId };
    },
    find: (runner, signal) => runners.find(runner, signal),
    remove: (runner, _force, signal) => runners.remove(runner, signal),
    meaningOf: (exitCode) => (exitCode === VERSION_DEPRECATED ? 'deprecated' : undefined),
    check: (signal): Promise<CheckLine[]> =>
      checkGithub(settings, { tools, auth, listing, runners, http, scaleSet }, signal),
    budget: () => http.budget,
  };
}

export const githubDriver: CiDriverEntry<GithubSettings> = { name: 'github', open: openGithub };
