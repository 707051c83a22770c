import { z } from 'zod';
import { buildbot } from './buildbot.ts';
import { github } from './github.ts';
import { jenkins } from './jenkins.ts';
import { listener } from './listener.ts';
import { native } from './native.ts';

/** One integration of any kind. */
export const integrationSchema = z.discriminatedUnion('kind', [
  buildbot,
  github,
  jenkins,
  listener,
  native,
]);
export type IntegrationConfig = z.output<typeof integrationSchema>;
