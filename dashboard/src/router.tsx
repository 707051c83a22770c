import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import { currentSession, loadSession } from './api/session.ts';
import { Frame } from './layout/frame.tsx';
import { Missing } from './layout/missing.tsx';
import { Broken } from './layout/broken.tsx';
import { Fleet, type FleetSearch } from './fleet/fleet.tsx';

/** Texts of the address, and nothing else. */
function texts<Name extends string>(...names: readonly Name[]) {
  return (search: Record<string, unknown>): Partial<Record<Name, string>> => {
    const found: Partial<Record<Name, string>> = {};
    for (const name of names) {
      const value = search[name];
      if (typeof value === 'string' && value !== '') found[name] = value;
      else if (typeof value === 'number') found[name] = String(value);
    }
    return found;
  };
}

const root = createRootRoute({ notFoundComponent: Missing });

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  validateSearch: texts('problem', 'returnTo'),
  component: lazyRouteComponent(() => import('./sign-in/sign-in.tsx'), 'SignIn'),
});

const frame = createRoute({
  getParentRoute: () => root,
  id: 'frame',
  component: Frame,
  beforeLoad: async ({ location }) => {
    const session = currentSession() ?? (await loadSession());
    if (!session.signedIn) {
      const returnTo = location.href;
      redirect({
        ...{ to: '/sign-in', search: returnTo === '/' ? {} : { returnTo } },
        throw: true,
      });
    }
  },
});

const fleet = createRoute({
  getParentRoute: () => frame,
  path: '/',
  validateSearch: texts('q', 'state', 'image', 'group', 'trouble') as (
    search: Record<string, unknown>,
  ) => FleetSearch,
  component: Fleet,
});

const host = createRoute({
  getParentRoute: () => frame,
  path: '/hosts/$name',
  component: lazyRouteComponent(() => import('./fleet/host.tsx'), 'Host'),
});

const jobs = createRoute({
  getParentRoute: () => frame,
  path: '/jobs',
  validateSearch: texts('state', 'outcome', 'pool', 'host', 'q'),
  component: lazyRouteComponent(() => import('./jobs/jobs.tsx'), 'Jobs'),
});

const job = createRoute({
  getParentRoute: () => frame,
  path: '/jobs/$id',
  component: lazyRouteComponent(() => import('./jobs/job.tsx'), 'Job'),
});

const workers = createRoute({
  getParentRoute: () => frame,
  path: '/workers',
  validateSearch: texts('pool', 'state', 'q'),
  component: lazyRouteComponent(() => import('./workers/workers.tsx'), 'Workers'),
});

const pools = createRoute({
  getParentRoute: () => frame,
  path: '/pools',
  component: lazyRouteComponent(() => import('./pools/pools.tsx'), 'Pools'),
});

const pool = createRoute({
  getParentRoute: () => frame,
  path: '/pools/$name',
  validateSearch: texts('hours'),
  component: lazyRouteComponent(() => import('./pools/pool.tsx'), 'Pool'),
});

const images = createRoute({
  getParentRoute: () => frame,
  path: '/images',
  component: lazyRouteComponent(() => import('./images/images.tsx'), 'Images'),
});

const builds = createRoute({
  getParentRoute: () => frame,
  path: '/builds',
  component: lazyRouteComponent(() => import('./builds/builds.tsx'), 'Builds'),
});

const capacity = createRoute({
  getParentRoute: () => frame,
  path: '/capacity',
  validateSearch: texts('hours'),
  component: lazyRouteComponent(() => import('./capacity/capacity.tsx'), 'Capacity'),
});

const admin = createRoute({
  getParentRoute: () => frame,
  path: '/admin',
  validateSearch: texts('tab', 'who', 'action'),
  component: lazyRouteComponent(() => import('./admin/admin.tsx'), 'Admin'),
});

export const router = createRouter({
  routeTree: root.addChildren([
    signIn,
    frame.addChildren([
      ...[fleet, host, jobs, job, workers, pools, pool, images, builds, capacity, admin],
    ]),
  ]),
  defaultErrorComponent: Broken,
  // Filters are texts, as they stand in the address.
  parseSearch: (search) => Object.fromEntries(new URLSearchParams(search)),
  stringifySearch: (search) => {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(search)) {
      if (typeof value === 'string' && value !== '') params.set(name, value);
    }
    return params.size === 0 ? '' : `?${params}`;
  },
  scrollRestoration: true,
  defaultHashScrollIntoView: false,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
