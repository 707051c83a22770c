import type { Found } from '../../../domain/ci/runner-phase.ts';
import { CiError, type RunnerName } from '../ci.ts';
import type { CiHttp } from '../http/http.ts';
import { seenRunner } from './listing.ts';
import { levelPath, type GithubSettings } from './settings.ts';
import { groupsSchema, jitSchema, runnerSchema, runnersSchema, type Runner } from './wire.ts';

/** Work directory of the runner, in its own directory. */
const WORK_FOLDER = '_work';
const MOST_LABELS = 100;
/** A repository has one group alone. */
const REPOSITORY_GROUP = 1;

/** Registrations of runners with GitHub, one at a time. */
export class GithubRunners {
  readonly #http: CiHttp;
  readonly #settings: GithubSettings;
  #group: number | undefined;

  constructor(http: CiHttp, settings: GithubSettings) {
    this.#http = http;
    this.#settings = settings;
  }

  /** A just-in-time configuration: good for one runner of this name and for one job. */
  async register(
    name: string,
    labels: readonly string[],
    signal: AbortSignal,
  ): Promise<{ externalId: string; jitConfig: string }> {
    const body = {
      name,
      runner_group_id: await this.groupId(signal),
      labels: labels.slice(0, MOST_LABELS),
      work_folder: WORK_FOLDER,
    };
    const made = await this.#http.get(
      {
        ...{ method: 'POST', path: `${this.#path}/generate-jitconfig`, json: body },
        ...{ schema: jitSchema, what: `the configuration of runner ${name}` },
      },
      signal,
    );
    return { externalId: String(made.runner.id), jitConfig: made.encoded_jit_config };
  }

  async groupId(signal: AbortSignal): Promise<number> {
    const { level, runnerGroup } = this.#settings;
    if (level.kind === 'repository') return REPOSITORY_GROUP;
    if (this.#group !== undefined) return this.#group;
    const path = `${levelPath(level)}/actions/runner-groups?per_page=100`;
    const what = 'the runner groups';
    const { runner_groups: groups } = await this.#http.get(
      { path, schema: groupsSchema, what },
      signal,
    );
    const wanted = runnerGroup.toLowerCase();
    const found = groups.find((group) => group.name.toLowerCase() === wanted);
    if (found === undefined) {
      const names = groups.map((group) => group.name).join(', ');
      const message = `there is no runner group ${runnerGroup}; there are: ${names}`;
      throw new CiError('not_found', message);
    }
    this.#group = found.id;
    return found.id;
  }

  async find(runner: RunnerName, signal: AbortSignal): Promise<Found> {
    const found = await this.#find(runner, signal);
    return found === undefined ? 'absent' : seenRunner(found).state;
  }

  async remove(runner: RunnerName, signal: AbortSignal): Promise<'removed' | 'busy'> {
    const id = runner.externalId ?? (await this.#find(runner, signal))?.id;
    if (id === undefined) return 'removed';
    const { status } = await this.#http.ask(
      {
        ...{ method: 'DELETE', path: `${this.#path}/${id}`, expected: [404, 422] },
        what: `the removal of runner ${runner.name}`,
      },
      signal,
    );
    return status === 422 ? 'busy' : 'removed';
  }

  async #find(runner: RunnerName, signal: AbortSignal): Promise<Runner | undefined> {
    const { name, externalId } = runner;
    const what = `runner ${name}`;
    if (externalId !== undefined) {
      const path = `${this.#path}/${externalId}`;
      const request = { path, schema: runnerSchema, expected: [404], what };
      return (await this.#http.ask(request, signal)).value;
    }
    const path = `${this.#path}?per_page=100&name=${encodeURIComponent(name)}`;
    const { runners } = await this.#http.get({ path, schema: runnersSchema, what }, signal);
    return runners.find((each) => each.name === name);
  }

  get #path(): string {
    return `${levelPath(this.#settings.level)}/actions/runners`;
  }
}
