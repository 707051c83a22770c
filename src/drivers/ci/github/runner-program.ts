import { CiError, type PreparedRunner, type RunnerOrder, type SourceFile } from '../ci.ts';
import type { CiHttp } from '../http/http.ts';
import { levelPath, type GithubSettings } from './settings.ts';
import { downloadsSchema } from './wire.ts';

const NEWEST_KNOWN_MS = 3_600_000;

/** The runner's own exit code for "this version may not connect any more". */
export const VERSION_DEPRECATED = 7;

/**
 * Says where a worker has GitHub's runner from, and how it is started. The credential comes in the
 * environment (`ACTIONS_RUNNER_INPUT_JITCONFIG`), where no list of processes shows it.
 */
export class RunnerProgram {
  readonly #http: CiHttp;
  readonly #settings: GithubSettings;
  #newest: { downloads: readonly Download[]; at: number } | undefined;

  constructor(http: CiHttp, settings: GithubSettings) {
    this.#http = http;
    this.#settings = settings;
  }

  /** What a worker executes, given its credential. */
  payload(source: string | undefined, jitConfig: string): PreparedRunner {
    const { runner } = this.#settings;
    const places = runner.at === 'image' ? [runner.directory] : ['.'];
    return {
      command: ['/bin/sh', '-c', START, 'runner', ...places],
      env: {
        // Or a deprecated version would end with 0, and the next one would be started for ever.
        ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE: '1',
        RUNNER_ALLOW_RUNASROOT: '1',
      },
      secretEnv: { ACTIONS_RUNNER_INPUT_JITCONFIG: jitConfig },
      ...(source === undefined ? {} : { source }),
    };
  }

  /** The file that the worker has its runner from; undefined when that is in its image. */
  async source(
    { os, arch }: Pick<RunnerOrder['worker'], 'os' | 'arch'>,
    now: number,
    signal: AbortSignal,
  ): Promise<SourceFile | undefined> {
    const { runner } = this.#settings;
    if (runner.at === 'image') return undefined;
    const downloads = runner.at === 'pinned' ? runner.downloads : await this.#offered(now, signal);
    const found = downloads.find((each) => each.os === os && each.arch === arch);
    if (found !== undefined) return { url: found.url, sha256: found.sha256 };
    throw new CiError('refused', `there is no runner of GitHub's for ${os} on ${arch}`);
  }

  /** What GitHub offers now; a checksum has to come with it. */
  async #offered(now: number, signal: AbortSignal): Promise<readonly Download[]> {
    if (this.#newest !== undefined && now - this.#newest.at < NEWEST_KNOWN_MS) {
      return this.#newest.downloads;
    }
    const path = `${levelPath(this.#settings.level)}/actions/runners/downloads`;
    const what = 'the downloads of the runner';
    const offered = await this.#http.get({ path, schema: downloadsSchema, what }, signal);
    const downloads = offered.flatMap((each): Download[] => {
      const os = ({ osx: 'macos', linux: 'linux' } as const)[each.os];
      const arch = ({ arm64: 'arm64', x64: 'x64' } as const)[each.architecture];
      const sha256 = each.sha256_checksum;
      if (os === undefined || arch === undefined || sha256 === undefined) return [];
      return [{ os, arch, url: each.download_url, sha256 }];
    });
    this.#newest = { downloads, at: now };
    return downloads;
  }
}

interface Download extends SourceFile {
  readonly os: 'macos' | 'linux';
  readonly arch: 'arm64' | 'x64';
}

/** Goes to the first directory with a runner in it and becomes that runner. */
const START = `
for place in "$@" "$HOME/actions-runner" /opt/actions-runner; do
  case $place in '~/'*) place=$HOME/\${place#'~/'} ;; esac
  if [ -x "$place/run.sh" ]; then cd "$place" && exec ./run.sh; fi
done
echo "pomona: no runner (run.sh) is in any of: $* ~/actions-runner /opt/actions-runner" >&2
echo "pomona: put one into the image, or set runner: newest for this integration" >&2
exit 127
`.trim();
