import { z } from 'zod';
import { durationSchema, envNameSchema } from '../../values.ts';
import { common, commonOf, secretName } from './common.ts';

/** What listeners say is in logs that are here. */
const LOOK_MS = 2_000;

const pattern = z
  .string()
  .min(1)
  .max(1024)
  .refine(isPattern, { message: 'expected an extended regular expression' });

const file = z.strictObject({
  path: z.string().min(1).max(1024).describe('Relative to the working directory, or absolute'),
  content: z.string().max(65_536).describe('${NAME} stands for one of `secrets`'),
  keep: z
    .boolean()
    .default(false)
    .describe('Leave it there; else it is removed half a minute after the start'),
});

export const listener = z
  .strictObject({
    kind: z.literal('listener'),
    ...common,
    command: z.array(z.string()).min(1).describe('The listener; it stays in the foreground'),
    env: z.record(envNameSchema, z.string()).default({}).describe('Its environment'),
    secrets: z
      .record(envNameSchema, secretName)
      .default({})
      .describe('Environment variables of it, and the secrets that they have'),
    files: z.array(file).max(16).default([]).describe('Files that it needs'),
    busyWhen: pattern.exactOptional().describe('A line that it prints when a task begins'),
    idleWhen: pattern.exactOptional().describe('A line that it prints when a task has ended'),
    busyCheck: z
      .array(z.string())
      .min(1)
      .exactOptional()
      .describe('A command that succeeds while it has a task, instead of both lines'),
    tasks: z.int().min(1).default(1).describe('Tasks after which its machine is replaced'),
    life: durationSchema
      .prefault('24h')
      .describe('After this it is replaced once it idles, give or take a tenth'),
    hardLife: durationSchema.prefault('48h').describe('After this it is replaced in any case'),
    stopSignal: z
      .enum(['TERM', 'INT', 'QUIT', 'HUP', 'USR1', 'USR2'])
      .default('TERM')
      .describe('Signal that has it take no more tasks and end'),
    drain: durationSchema.prefault('2h').describe('How long it may take to end then'),
  })
  .superRefine((config, context) => {
    const byLines = config.busyWhen !== undefined && config.idleWhen !== undefined;
    if (byLines === (config.busyCheck !== undefined)) {
      const message = 'expected busyWhen and idleWhen, or busyCheck';
      context.addIssue({ code: 'custom', path: [], message });
    }
    if (!config.routes.some(({ standby }) => standby > 0)) {
      const message = 'expected a route with `standby`: how many listeners are kept';
      context.addIssue({ code: 'custom', path: ['routes'], message });
    }
    if (config.hardLife < config.life) {
      const message = 'expected at least `life`';
      context.addIssue({ code: 'custom', path: ['hardLife'], message });
    }
  })
  .transform((config) => ({
    kind: 'listener' as const,
    ...commonOf(config, LOOK_MS),
    // Its supervisor ends it in time.
    standbyMs: 2 * config.hardLife,
    settings: {
      ...{ command: config.command, env: config.env, secrets: config.secrets },
      ...{ files: config.files, tasks: config.tasks, stopSignal: config.stopSignal },
      busy:
        config.busyCheck === undefined
          ? { by: 'output' as const, busy: config.busyWhen ?? '', idle: config.idleWhen ?? '' }
          : { by: 'command' as const, command: config.busyCheck },
      ...{ softLifeMs: config.life, hardLifeMs: config.hardLife, drainMs: config.drain },
    },
  }));

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}
