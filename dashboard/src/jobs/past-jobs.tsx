import { useInfiniteQuery } from '@tanstack/react-query';
import type { JobView } from '../../../src/protocol/api/resources.ts';
import { call } from '../api/client.ts';
import type { LiveJob } from '../api/live-store.ts';

const PAGE = 100;
const AGAIN_MS = 15_000;

/** Which of the jobs that ended. */
interface Wanted {
  readonly outcome?: JobView['outcome'];
  readonly pool?: string;
  readonly host?: string;
  readonly search?: string;
  readonly builds?: 'true';
}

/** Jobs that ended, newest first, as far back as somebody went. */
export function usePastJobs(wanted: Wanted) {
  return useInfiniteQuery({
    queryKey: ['past-jobs', wanted],
    queryFn: ({ pageParam, signal }) => {
      const page = pageParam === '' ? {} : { after: pageParam };
      const query = { limit: PAGE, state: 'finished' as const, ...page, ...wanted };
      return call('listJobs', 'GET', '/jobs', { query, signal });
    },
    initialPageParam: '',
    getNextPageParam: ({ next }) => next,
    select: ({ pages }) => pages.flatMap(({ items }) => items.map(asLive)),
    refetchInterval: AGAIN_MS,
  });
}

/** Goes further back, where there is more. `what`: jobs or builds. */
export function Older({
  of,
  what,
}: {
  readonly of: ReturnType<typeof usePastJobs>;
  readonly what: string;
}) {
  if (!of.hasNextPage) return null;
  return (
    <button type="button" disabled={of.isFetchingNextPage} onClick={() => void of.fetchNextPage()}>
      Show older {what}
    </button>
  );
}

function asLive(job: JobView): LiveJob {
  const { command, title, ranIn, pool, ...same } = job;
  return { ...same, title: title ?? command.join(' '), pool: ranIn ?? pool };
}
