import { enableCompileCache } from 'node:module';
import { Command, CommanderError } from 'commander';
import { nearest } from '../domain/nearest.ts';
import { compileCacheDir } from '../platform/compile-cache.ts';
import { VERSION } from '../platform/version.ts';
import { exitCodeOfError } from './errors.ts';
import { watchReader } from './standard-output.ts';

enableCompileCache(compileCacheDir());

/** Every command, with the line it has in the help; each is loaded only when it is used. */
const COMMANDS: Readonly<
  Record<string, { about: string; load(): Promise<{ command(): Command }> }>
> = {
  up: { about: 'run a controller and an agent on this machine', load: () => import('./up.ts') },
  serve: { about: 'run a controller alone', load: () => import('./serve.ts') },
  agent: { about: 'run the agent of a host', load: () => import('./agent.ts') },
  run: { about: 'run a command in a fresh worker', load: () => import('./run.ts') },
  job: { about: 'look at jobs, their logs, why they wait; cancel', load: () => import('./job.ts') },
  worker: { about: 'list workers', load: () => import('./worker.ts') },
  db: { about: 'copy a controller’s database to PostgreSQL', load: () => import('./db.ts') },
  host: {
    about: 'list, cordon, drain, resume, retire, remove hosts',
    load: () => import('./host.ts'),
  },
  controller: { about: 'list controllers', load: () => import('./controller.ts') },
  pool: { about: 'list, apply, remove pools', load: () => import('./pool.ts') },
  ci: { about: 'CI systems: how they are, what waits, why', load: () => import('./ci.ts') },
  rollout: {
    about: 'let new images take over pools, by stages',
    load: () => import('./rollout.ts'),
  },
  leaks: { about: 'show what was left behind', load: () => import('./leaks.ts') },
  volume: {
    about: 'list and remove caches of pools on this host',
    load: () => import('./volume.ts'),
  },
  image: {
    about: 'import, push, pull and look at images',
    load: () => import('./image/image.ts'),
  },
  build: { about: 'build a spec, each step once', load: () => import('./build/build.ts') },
  simulate: { about: 'play fleets while things go wrong', load: () => import('./simulate.ts') },
  spec: { about: 'check, format and convert build specs', load: () => import('./spec.ts') },
  store: { about: 'look at, prune and check a store of builds', load: () => import('./store.ts') },
  config: { about: 'check a configuration', load: () => import('./config.ts') },
  secret: { about: 'set, list, remove secrets', load: () => import('./secret.ts') },
  token: { about: 'make, list, revoke API and join tokens', load: () => import('./token.ts') },
  doctor: {
    about: 'check this machine and explain what is chosen',
    load: () => import('./doctor.ts'),
  },
  completion: { about: 'print shell completion', load: () => import('./completion.ts') },
};

/** The program with the commands named, or all of them. */
export async function program(names: readonly string[] = Object.keys(COMMANDS)): Promise<Command> {
  const root = new Command('pomona')
    .description('Every CI job a fresh worker.')
    .version(VERSION)
    .showHelpAfterError('(add --help for what there is)')
    .enablePositionalOptions()
    .exitOverride();
  for (const [name, { about, load }] of Object.entries(COMMANDS)) {
    if (names.includes(name)) root.addCommand((await load()).command());
    else root.command(name, { hidden: false }).description(about);
  }
  for (const command of root.commands) {
    command.exitOverride();
    for (const inner of command.commands) inner.exitOverride();
  }
  return root;
}

async function main(argv: readonly string[]): Promise<void> {
  const wanted = argv.find((word) => !word.startsWith('-')) ?? '';
  if (wanted !== '' && wanted !== 'help' && COMMANDS[wanted] === undefined) {
    const near = nearest(wanted, Object.keys(COMMANDS));
    const hint = near === undefined ? '`pomona --help` lists them' : `did you mean ${near}?`;
    process.stderr.write(`pomona: there is no command ${wanted}; ${hint}\n`);
    process.exitCode = 2;
    return;
  }
  try {
    const names = wanted === 'completion' || wanted === 'help' ? undefined : [wanted];
    await (await program(names)).parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has said what is wrong; help and version are no errors.
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    const { message, stack } = error as Error;
    if (message !== '') process.stderr.write(`pomona: ${message}\n`);
    if (process.env['POMONA_DEBUG'] !== undefined) process.stderr.write(`${stack}\n`);
    process.exitCode = exitCodeOfError(error);
  }
}

if (import.meta.main) {
  watchReader();
  await main(process.argv.slice(2));
}
