import { join } from 'node:path';
import { z } from 'zod';
import type { HostCapacity } from '../domain/host.ts';
import type { HostSettings } from '../domain/host-task.ts';
import { readJson } from '../platform/atomic-file.ts';
import { hostSettingsSchema } from '../protocol/values.ts';

/** Where the settings are that were rolled out to this host. */
export function settingsPath(dataDir: string): string {
  return join(dataDir, 'settings.json');
}

/** Throws when the text is none of them. */
export function parseSettings(text: string): HostSettings {
  const parsed = hostSettingsSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new Error(`these are no settings: ${z.prettifyError(parsed.error)}`);
}

/** Those that were rolled out to a host; undefined when none were. */
export async function readSettings(dataDir: string): Promise<HostSettings | undefined> {
  const known = await readJson<unknown>(settingsPath(dataDir));
  return known === undefined ? undefined : hostSettingsSchema.parse(known);
}

/** An agent's options, with the settings in their place. */
export function withSettings<
  Options extends {
    readonly labels: readonly string[];
    readonly capacity: HostCapacity;
  },
>(options: Options, { labels, workers, macosVms }: HostSettings): Options {
  const { capacity } = options;
  return {
    ...options,
    labels: labels ?? options.labels,
    capacity: {
      workers: workers ?? capacity.workers,
      macosVms: macosVms ?? capacity.macosVms,
    },
  };
}
