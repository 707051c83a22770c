import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { CiError, type CiNews, type Delivery, type Received } from '../ci.ts';
import { keyOf, runnerOf, type GithubJobs } from './jobs.ts';
import type { GithubListing } from './listing.ts';
import { workflowJobEventSchema } from './wire.ts';

const actionSchema = z.object({ action: z.string().optional() });

/** A delivery that GitHub made. */
interface Signed {
  readonly id: string;
  readonly event: string;
  /** For people. */
  readonly what: string;
  readonly json: unknown;
}

/**
 * Reads a delivery whose body was signed with this secret (`X-Hub-Signature-256`, HMAC-SHA256 over
 * the bytes). Throws `CiError` `unauthorized` when it was not, `refused` when it cannot be read.
 */
export function readSigned({ headers, body }: Delivery, secret: string): Signed {
  if (!signedWith(secret, body, headers['x-hub-signature-256'])) {
    const message = 'the signature X-Hub-Signature-256 is missing or not made with our secret';
    throw new CiError('unauthorized', message);
  }
  const id = headers['x-github-delivery'];
  const event = headers['x-github-event'];
  if (id === undefined || event === undefined) {
    throw new CiError('refused', 'expected the headers X-GitHub-Delivery and X-GitHub-Event');
  }
  const json = jsonOf(body, headers['content-type']);
  const action = actionSchema.safeParse(json).data?.action;
  return { id, event, json, what: action === undefined ? event : `${event} ${action}` };
}

/** What a delivery says of jobs. Throws as `readSigned`. */
export function readDelivery(
  delivery: Delivery,
  secret: string,
  { jobs, listing }: { readonly jobs: GithubJobs; readonly listing: GithubListing },
): Received {
  const { id, event, what, json } = readSigned(delivery, secret);
  if (event !== 'workflow_job') {
    return { id, what, news: async () => ({ look: event === 'ping' }) };
  }
  const parsed = workflowJobEventSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new CiError('refused', `${issue?.path.join('.')}: ${issue?.message}`);
  }
  listing.heardOf(parsed.data.repository.full_name);
  return { id, what, news: (signal) => newsOf(parsed.data, jobs, signal) };
}

async function newsOf(
  event: z.output<typeof workflowJobEventSchema>,
  jobs: GithubJobs,
  signal: AbortSignal,
): Promise<CiNews> {
  const { action, workflow_job: job, repository } = event;
  const key = keyOf(job);
  const runner = runnerOf(job);
  if (action === 'completed') {
    return { jobs: [{ key, state: 'gone', ...(runner === undefined ? {} : { runner }) }] };
  }
  // It is held back, for an approval say; `queued` comes again when it may run.
  if (action === 'waiting') return { look: false };
  const wanted = await jobs.wanted(repository.full_name, job, undefined, signal);
  if (wanted === undefined) return { look: true };
  const busy =
    action === 'in_progress' && runner !== undefined
      ? [{ name: runner, state: 'busy' as const, job: wanted.title }]
      : [];
  return { jobs: [wanted], runners: busy };
}

function signedWith(secret: string, body: Buffer, signature: string | undefined): boolean {
  const wanted = Buffer.from(`sha256=${createHmac('sha256', secret).update(body).digest('hex')}`);
  const given = Buffer.from(signature ?? '');
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** GitHub sends JSON, or a form with JSON in `payload`: as whoever made the webhook chose. */
function jsonOf(body: Buffer, type = 'application/json'): unknown {
  const text = body.toString('utf8');
  try {
    if (type.startsWith('application/x-www-form-urlencoded')) {
      return JSON.parse(new URLSearchParams(text).get('payload') ?? '');
    }
    return JSON.parse(text);
  } catch (cause) {
    throw new CiError('refused', 'the delivery is not JSON', { cause });
  }
}
