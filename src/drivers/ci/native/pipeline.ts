import { parseDocument } from 'yaml';
import { z } from 'zod';
import { matches } from '../../../domain/ci/routes.ts';

/** What a repository's `.pomona.yaml` says. */

const DURATION = /^(\d+)(s|m|h)$/;
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

const jobSchema = z.strictObject({
  labels: z.array(z.string().min(1).max(128)).max(64).default([]),
  on: z
    .array(z.enum(['push', 'pull_request']))
    .min(1)
    .default(['push', 'pull_request']),
  branches: z.array(z.string().min(1)).min(1).default(['*']),
  run: z.string().min(1).max(65_536),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).default({}),
  secrets: z.array(z.string()).max(64).default([]),
  artifacts: z.array(z.string().min(1).max(1024)).max(256).default([]),
  timeout: z
    .string()
    .regex(DURATION, 'expected a duration such as 90s, 30m or 2h')
    .default('1h')
    .transform((text) => {
      const [, count, unit] = DURATION.exec(text) ?? [];
      return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
    }),
});
export type PipelineJob = z.output<typeof jobSchema>;

const pipelineSchema = z.strictObject({
  jobs: z
    .record(
      z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'expected a name such as test'),
      jobSchema,
    )
    .refine((jobs) => Object.keys(jobs).length > 0, { message: 'expected at least one job' }),
});

/** The jobs by name, or what is wrong, a line for each wrong place. */
export function readPipeline(
  text: string,
): { readonly jobs: Readonly<Record<string, PipelineJob>> } | { readonly wrong: string } {
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    return { wrong: document.errors.map(({ message }) => message).join('\n') };
  }
  const parsed = pipelineSchema.safeParse(document.toJS());
  if (parsed.success) return { jobs: parsed.data.jobs };
  const lines = parsed.error.issues.map((issue) => {
    const message = issue.code === 'invalid_key' ? issue.issues[0]?.message : issue.message;
    return `${issue.path.join('.')}: ${message}`;
  });
  return { wrong: lines.join('\n') };
}

/** Does this event set the job off? `branch`: what is pushed to, or what is to be merged into. */
export function isSetOffBy(
  job: PipelineJob,
  event: 'push' | 'pull_request',
  branch: string,
): boolean {
  return job.on.includes(event) && job.branches.some((pattern) => matches(pattern, branch));
}
