import { initial } from './001-initial.ts';
import { builds } from './002-builds.ts';
import { rollouts } from './003-rollouts.ts';
import type { Migration } from './migration.ts';

export const MIGRATIONS: readonly Migration[] = [initial, builds, rollouts];
