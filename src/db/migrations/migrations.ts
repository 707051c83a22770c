import { initial } from './001-initial.ts';
import { builds } from './002-builds.ts';
import { rollouts } from './003-rollouts.ts';
import { integrations } from './004-integrations.ts';
import { fleet } from './005-fleet.ts';
import { controllers } from './006-controllers.ts';
import { hostCare } from './007-host-care.ts';
import { demand } from './008-demand.ts';
import { hostTasks } from './009-host-tasks.ts';
import { leaks } from './010-leaks.ts';
import { hostRollouts } from './011-host-rollouts.ts';
import { logPieces } from './012-log-pieces.ts';
import { lostHosts } from './013-lost-hosts.ts';
import { dashboard } from './014-dashboard.ts';
import type { Migration } from './migration.ts';

export const MIGRATIONS: readonly Migration[] = [
  initial,
  builds,
  rollouts,
  integrations,
  fleet,
  controllers,
  hostCare,
  demand,
  hostTasks,
  leaks,
  hostRollouts,
  logPieces,
  lostHosts,
  dashboard,
];
