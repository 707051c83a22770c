import { QueryClient, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query';
import { toast } from '../ui/toasts.tsx';
import { ApiError, call, messageOf } from './client.ts';
import { live } from './live.ts';

/** What is asked for rather than streamed; the stream says when to ask again. */

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (failures, error) =>
        failures < 3 && !(error instanceof ApiError && error.status < 500),
    },
  },
});

/** What of the stream's kinds makes which questions stale. */
const STALE: Readonly<Record<string, readonly string[]>> = {
  pool: ['pools', 'rollouts', 'images', 'pool-history'],
  integration: ['integrations'],
  'host-rollout': ['host-rollouts'],
};

live.onTouched((kinds) => {
  const keys = kinds.includes('all')
    ? undefined
    : new Set(kinds.flatMap((kind) => STALE[kind] ?? []));
  void queryClient.invalidateQueries({
    predicate: ({ queryKey }) => keys === undefined || keys.has(String(queryKey[0])),
  });
});

const SLOW_MS = 30_000;

export const pools = queryOptions({
  queryKey: ['pools'],
  queryFn: ({ signal }) => call('listPools', 'GET', '/pools', { signal }),
  refetchInterval: SLOW_MS,
});

export const rollouts = queryOptions({
  queryKey: ['rollouts'],
  queryFn: ({ signal }) => call('listRollouts', 'GET', '/rollouts', { signal }),
  refetchInterval: SLOW_MS,
});

export const images = queryOptions({
  queryKey: ['images'],
  queryFn: ({ signal }) => call('listImages', 'GET', '/images', { signal }),
  refetchInterval: 5_000,
});

export const integrations = queryOptions({
  queryKey: ['integrations'],
  queryFn: ({ signal }) => call('listIntegrations', 'GET', '/ci', { signal }),
  refetchInterval: SLOW_MS,
});

export const hostRollouts = queryOptions({
  queryKey: ['host-rollouts'],
  queryFn: ({ signal }) => call('listHostRollouts', 'GET', '/host-rollouts', { signal }),
  refetchInterval: SLOW_MS,
});

export const leaks = queryOptions({
  queryKey: ['leaks'],
  queryFn: ({ signal }) => call('listLeaks', 'GET', '/leaks', { signal }),
});

export const controllers = queryOptions({
  queryKey: ['controllers'],
  queryFn: ({ signal }) => call('listControllers', 'GET', '/controllers', { signal }),
  refetchInterval: SLOW_MS,
});

export const queue = queryOptions({
  queryKey: ['queue'],
  queryFn: ({ signal }) => call('listQueue', 'GET', '/queue', { signal }),
  refetchInterval: 3_000,
});

export const job = (id: string) =>
  queryOptions({
    queryKey: ['job', id],
    queryFn: ({ signal }) => call('getJob', 'GET', '/jobs/{id}', { params: { id }, signal }),
  });

export const timeline = (id: string) =>
  queryOptions({
    queryKey: ['timeline', id],
    queryFn: ({ signal }) =>
      call('jobTimeline', 'GET', '/jobs/{id}/timeline', { params: { id }, signal }),
  });

export const why = (id: string) =>
  queryOptions({
    queryKey: ['why', id],
    queryFn: ({ signal }) => call('whyJob', 'GET', '/jobs/{id}/why', { params: { id }, signal }),
    refetchInterval: 3_000,
  });

export const poolHistory = (name: string, hours: number) =>
  queryOptions({
    queryKey: ['pool-history', name, hours],
    queryFn: ({ signal }) =>
      call('poolHistory', 'GET', '/pools/{name}/history', {
        params: { name },
        query: { hours },
        signal,
      }),
    refetchInterval: 60_000,
  });

export const capacity = (hours: number) =>
  queryOptions({
    queryKey: ['capacity', hours],
    queryFn: ({ signal }) => call('capacity', 'GET', '/capacity', { query: { hours }, signal }),
    refetchInterval: 60_000,
  });

export const tokens = queryOptions({
  queryKey: ['tokens'],
  queryFn: ({ signal }) => call('listTokens', 'GET', '/tokens', { signal }),
});

export const secrets = queryOptions({
  queryKey: ['secrets'],
  queryFn: ({ signal }) => call('listSecrets', 'GET', '/secrets', { signal }),
});

export const consoles = queryOptions({
  queryKey: ['consoles'],
  queryFn: ({ signal }) => call('listConsoles', 'GET', '/consoles', { signal }),
});

/** Does something, tells how it went, and asks again for what it may have changed. */
export function useAction<Input>(
  act: (input: Input) => Promise<unknown>,
  {
    done,
    stale = [],
  }: { readonly done?: (input: Input) => string; readonly stale?: readonly string[] } = {},
) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: (_result, input) => {
      if (done !== undefined) toast('good', done(input));
      for (const key of stale) void client.invalidateQueries({ queryKey: [key] });
    },
    onError: (error) => toast('bad', messageOf(error)),
  });
}
