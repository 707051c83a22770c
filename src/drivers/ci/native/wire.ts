import { z } from 'zod';

/** The parts of GitHub's webhooks and answers that are read. Names are GitHub's. */

const repository = z.object({ full_name: z.string() });

export const pushSchema = z.object({
  ref: z.string(),
  after: z.string(),
  deleted: z.boolean(),
  repository,
  sender: z.object({ login: z.string() }),
});

export const pullRequestSchema = z.object({
  action: z.string(),
  repository,
  pull_request: z.object({
    number: z.int(),
    author_association: z.string(),
    user: z.object({ login: z.string() }).nullish(),
    base: z.object({ ref: z.string() }),
    head: z.object({ sha: z.string(), repo: repository.nullish() }),
  }),
});

export const checkRunEventSchema = z.object({
  action: z.string(),
  repository,
  sender: z.object({ login: z.string() }),
  requested_action: z.object({ identifier: z.string() }).nullish(),
  check_run: z.object({
    id: z.int(),
    head_sha: z.string(),
    external_id: z.string().nullish(),
    /** Whose check it is: others make checks, too. */
    app: z.object({ id: z.int(), client_id: z.string().nullish() }).nullish(),
  }),
});

export const checkRunSchema = z.object({
  id: z.int(),
  status: z.string(),
  conclusion: z.string().nullish(),
  external_id: z.string().nullish(),
  html_url: z.string().nullish(),
});
export type CheckRun = z.output<typeof checkRunSchema>;
export const checkRunsSchema = z.object({ check_runs: z.array(checkRunSchema) });

export const permissionSchema = z.object({ permission: z.string() });

export const deliveriesSchema = z.array(
  z.object({
    id: z.int(),
    guid: z.string(),
    delivered_at: z.string(),
    status_code: z.int(),
  }),
);
