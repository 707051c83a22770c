import { randomBytes, randomInt } from 'node:crypto';
import type { SeenRunner } from '../../../domain/ci/ci-job.ts';
import type { CiDriver, CiDriverEntry, CiTools, PreparedRunner } from '../ci.ts';
import { tried } from '../tried.ts';
import type { ListenerSettings } from './settings.ts';
import { SUPERVISOR } from './supervisor.ts';

const MARK = 'pomona-listener-';
/** What lives differ by, so that not all of a fleet end at the same time: a tenth each way. */
const STAGGER_PER_CENT = 10;

/**
 * Anything that is "a listener with a token": what waits at its CI system nobody tells us, so a
 * number of listeners is kept (`standby` of the routes). A supervisor in the worker looks after
 * each, and says in its log whether it has a task.
 */
function openListener(settings: ListenerSettings, tools: CiTools): CiDriver {
  /** By the marks of listeners that say how they are. */
  async function seen(): Promise<SeenRunner[]> {
    const all = await Promise.all(
      (await tools.running()).map(async ({ name, tail }): Promise<SeenRunner[]> => {
        const said = [...(await tail()).matchAll(/^pomona-listener-\w+ (idle|busy) (\d+)$/gm)];
        const last = said.at(-1);
        if (last === undefined) return [];
        const [, now, count] = last;
        if (now === 'idle') return [{ name, state: 'idle' }];
        return [{ name, state: 'busy', job: `task ${count}` }];
      }),
    );
    return all.flat();
  }

  async function stateOf(name: string) {
    return (await seen()).find((each) => each.name === name)?.state;
  }

  return {
    location: settings.command[0] ?? '',
    exact: true,
    serves: 'many',
    impliedLabels: [],
    look: async () => ({ complete: 'all', jobs: [], runners: await seen() }),
    prepare: async () => payloadOf(settings, tools),
    // Nothing of it is known elsewhere: it is there while its worker is.
    find: async ({ name }) => ((await stateOf(name)) === 'busy' ? 'busy' : 'absent'),
    async remove({ name }, force) {
      if (force) return 'removed';
      return (await stateOf(name)) === 'busy' ? 'busy' : 'removed';
    },
    meaningOf: (exitCode) => (exitCode === 0 ? 'served' : undefined),
    async check() {
      return [
        await tried(
          'secrets',
          async () => {
            for (const name of Object.values(settings.secrets)) await tools.secret(name);
            return `${Object.keys(settings.secrets).length} are set`;
          },
          'the secrets that `secrets` names',
        ),
        { what: 'listener', ok: true, detail: 'its CI system is asked by itself, in its worker' },
      ];
    },
  };
}

async function payloadOf(settings: ListenerSettings, tools: CiTools): Promise<PreparedRunner> {
  const secretEnv: Record<string, string> = {};
  for (const [name, secret] of Object.entries(settings.secrets)) {
    secretEnv[name] = await tools.secret(secret);
  }
  const { busy } = settings;
  const env: Record<string, string> = {
    ...settings.env,
    POMONA_MARK: MARK + randomBytes(8).toString('hex'),
    POMONA_TASKS: String(settings.tasks),
    POMONA_SOFT_S: String(staggered(settings.softLifeMs)),
    POMONA_HARD_S: seconds(settings.hardLifeMs),
    POMONA_STOP_SIGNAL: settings.stopSignal,
    POMONA_DRAIN_S: seconds(settings.drainMs),
    POMONA_BUSY: busy.by === 'output' ? busy.busy : '',
    POMONA_IDLE: busy.by === 'output' ? busy.idle : '',
    POMONA_CHECK: busy.by === 'command' ? busy.command.map(quoted).join(' ') : '',
    POMONA_FILES: String(settings.files.length),
  };
  settings.files.forEach(({ path, content, keep }, index) => {
    env[`POMONA_FILE_PATH_${index}`] = path;
    env[`POMONA_FILE_KEEP_${index}`] = keep ? '1' : '0';
    secretEnv[`POMONA_FILE_CONTENT_${index}`] = content.replaceAll(
      /\$\{(\w+)\}/g,
      (whole, name: string) => secretEnv[name] ?? whole,
    );
  });
  const command = ['/bin/sh', '-c', SUPERVISOR, 'supervisor', ...settings.command];
  return { command, env, secretEnv };
}

function staggered(ms: number): number {
  const share = randomInt(100 - STAGGER_PER_CENT, 100 + STAGGER_PER_CENT + 1);
  return Math.max(1, Math.round((ms / 1000) * (share / 100)));
}

function seconds(ms: number): string {
  return String(Math.max(1, Math.round(ms / 1000)));
}

/** For a shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

export const listenerDriver: CiDriverEntry<ListenerSettings> = {
  name: 'listener',
  open: openListener,
};
