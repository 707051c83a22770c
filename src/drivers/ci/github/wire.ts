import { z } from 'zod';

/** The parts of GitHub's answers that are read. Names are GitHub's. */

const login = z.object({ login: z.string() }).nullish();
const repository = z.object({ full_name: z.string() });

export const runSchema = z.object({
  id: z.int(),
  run_attempt: z.int().optional(),
  event: z.string(),
  name: z.string().nullish(),
  display_title: z.string().optional(),
  actor: login,
  repository,
  /** Null when the fork was deleted. */
  head_repository: repository.nullish(),
});
export type Run = z.output<typeof runSchema>;

export const runsSchema = z.object({ workflow_runs: z.array(runSchema) });

export const jobSchema = z.object({
  id: z.int(),
  run_id: z.int(),
  run_attempt: z.int().optional(),
  name: z.string(),
  workflow_name: z.string().nullish(),
  status: z.string(),
  html_url: z.string().nullish(),
  labels: z.array(z.string()),
  runner_name: z.string().nullish(),
  created_at: z.string().nullish(),
});
export type Job = z.output<typeof jobSchema>;

export const jobsSchema = z.object({ jobs: z.array(jobSchema) });

export const runnerSchema = z.object({
  id: z.int(),
  name: z.string(),
  status: z.string(),
  busy: z.boolean(),
});
export type Runner = z.output<typeof runnerSchema>;

export const runnersSchema = z.object({ total_count: z.int(), runners: z.array(runnerSchema) });

export const jitSchema = z.object({
  runner: z.object({ id: z.int() }),
  encoded_jit_config: z.string().min(1),
});

export const groupsSchema = z.object({
  runner_groups: z.array(z.object({ id: z.int(), name: z.string() })),
});

export const downloadsSchema = z.array(
  z.object({
    os: z.string(),
    architecture: z.string(),
    download_url: z.url(),
    filename: z.string(),
    sha256_checksum: z.string().optional(),
  }),
);

export const repositoriesSchema = z.object({
  repositories: z.array(repository.extend({ archived: z.boolean().optional() })),
});

export const organizationRepositoriesSchema = z.array(
  repository.extend({ archived: z.boolean().optional() }),
);

export const approvalsSchema = z.array(z.object({ state: z.string() }));

export const workflowJobEventSchema = z.object({
  action: z.enum(['queued', 'waiting', 'in_progress', 'completed']),
  repository,
  workflow_job: jobSchema,
});
