import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Option, type Command } from 'commander';
import type { ControllerOptions } from '../controller/controller.ts';
import { openBlobs } from '../drivers/blob/drivers.ts';
import { isBlobLocation } from '../controller/files/open-files.ts';
import { isMissing } from '../platform/atomic-file.ts';
import { defaultDataDir } from '../platform/data-dir.ts';
import { stderrLogger, type Logger } from '../platform/logger.ts';
import { ConfigError, loadConfig } from '../protocol/config/load.ts';
import type { Config } from '../protocol/config/schema.ts';
import { UsageError } from './errors.ts';
import { planThread } from './plan-thread.ts';
import { integrationOrders } from './integrations.ts';

/** What `up` and `serve` share. */

/** The page as `npm run build` makes it, in a checkout and in the package. */
const PAGE = new URL('../../dist/dashboard/', import.meta.url);

export interface ServeOptions {
  readonly data?: string;
  readonly listen: string;
  readonly config?: string;
  readonly verbose?: boolean;
}

export function withServing(command: Command): Command {
  return command
    .option('--data <dir>', 'data directory')
    .addOption(new Option('--listen <host:port>', 'address to serve on').default('127.0.0.1:7766'))
    .option('--config <file>', 'configuration (default: pomona.yaml in the data directory)')
    .option('--verbose', 'log more');
}

export function loggerFor(options: { verbose?: boolean }): Logger {
  return stderrLogger(options.verbose === true ? 'debug' : 'warn');
}

/** Reads the configuration that was named, or the data directory's, or takes the defaults. */
export async function configFor(options: ServeOptions): Promise<Config> {
  const path = options.config ?? join(dataDirFor(options), 'pomona.yaml');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (options.config === undefined && isMissing(cause)) return loadConfig('', path);
    throw new ConfigError(`the configuration ${path} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  return loadConfig(text, path);
}

export function dataDirFor(options: { data?: string }): string {
  return resolve(options.data ?? defaultDataDir());
}

export function controllerOptions(
  options: ServeOptions,
  config: Config,
  program: string,
  log: Logger,
): ControllerOptions {
  return {
    name: config.name ?? defaultHostName(),
    dataDir: dataDirFor(options),
    listen: parseListen(options.listen),
    ...(config.database === undefined ? {} : { database: config.database }),
    ...(config.files === undefined ? {} : { files: filesPlace(config.files) }),
    ...(config.secretsKey === undefined ? {} : { secretsKey: resolve(config.secretsKey) }),
    pools: config.pools,
    integrations: integrationOrders(config.integrations),
    hostLostAfterMs: config.limits.hostLostAfter,
    alerts: config.alerts,
    rules: {
      teams: new Map(Object.entries(config.teams)),
      ...{ reservations: config.reservations, maintenance: config.maintenance },
    },
    openBlobs,
    dashboard: { dir: fileURLToPath(PAGE), ...config.dashboard },
    ...(config.prices === undefined ? {} : { prices: config.prices }),
    planFleet: planThread(),
    limits: { sourceBytes: config.limits.source, artifactBytes: config.limits.artifact },
    retention: {
      jobsMs: config.retention.jobs,
      workersMs: 3_600_000,
      sourcesMs: config.retention.sources,
      logBytes: config.retention.logs,
      artifactBytes: config.retention.artifacts,
    },
    log,
    program,
  };
}

function filesPlace(files: string): string {
  return isBlobLocation(files) ? files : resolve(files);
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port > 65_535) {
    throw new UsageError(`--listen expects HOST:PORT such as 127.0.0.1:7766, not ${text}`);
  }
  return { host: match[1].replaceAll(/[[\]]/g, ''), port };
}

/** The name this host has in the fleet when nothing else is said. */
export function defaultHostName(): string {
  const short = hostname().split('.')[0]?.toLowerCase() ?? '';
  const name = short.replaceAll(/[^a-z0-9._-]/g, '-').replace(/^[._-]+/, '');
  return name === '' ? 'local' : name.slice(0, 60);
}

/** What is said once a controller serves. */
export function readyText(url: string, dataDir: string): string {
  const token = join(dataDir, 'admin.token');
  return `Pomona is ready at ${url}\nThe dashboard is there, too; sign in with the token in ${token}\n`;
}

/** Settles when the process is asked to end. */
export function untilAsked(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}
