import { useEffect, useState } from 'react';
import { Link, Outlet, useRouter, useRouterState } from '@tanstack/react-router';
import { followLive, useHosts, useLiveJobs, useLiveStatus, useWorkers } from '../api/live.ts';
import { signOut, useSession } from '../api/session.ts';
import { Toasts } from '../ui/toasts.tsx';
import { saveTheme, storedTheme, type Theme } from './theme.ts';

/** The frame of every page: where one can go, who one is, and whether what is shown is live. */
export function Frame() {
  const session = useSession();
  const router = useRouter();
  const signedIn = session?.signedIn === true;
  useEffect(() => (signedIn ? followLive() : undefined), [signedIn]);
  useEffect(() => {
    if (session?.signedIn === false) {
      void router.navigate({ to: '/sign-in', search: { returnTo: router.state.location.href } });
    }
  }, [session, router]);
  return (
    <div className="frame">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <Side />
      <main className="main" id="main" tabIndex={-1}>
        <Outlet />
      </main>
      <Toasts />
      <PageTitle />
    </div>
  );
}

const PLACES = [
  ['/', 'Fleet'],
  ['/jobs', 'Jobs'],
  ['/workers', 'Workers'],
  ['/pools', 'Pools'],
  ['/images', 'Images'],
  ['/builds', 'Builds'],
  ['/capacity', 'Capacity'],
  ['/admin', 'Admin'],
] as const;

function Side() {
  const session = useSession();
  const counts: Readonly<Record<string, number>> = {
    '/': useHosts().length,
    '/jobs': useLiveJobs().filter(({ state }) => state !== 'finished').length,
    '/workers': useWorkers().length,
  };
  return (
    <div className="side">
      <Link to="/" className="brand">
        <img src="/assets/icon.svg" alt="" />
        Pomona
      </Link>
      <nav aria-label="Pages">
        <ul>
          {PLACES.map(([to, name]) => (
            <li key={to}>
              <Link to={to} activeOptions={{ exact: to === '/', includeSearch: false }}>
                {name}
                {counts[to] !== undefined && <span className="count">{counts[to]}</span>}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <div className="who">
        <LinkStatus />
        {session?.signedIn === true && (
          <span>
            {session.name} <span className="soft">({session.role})</span>
          </span>
        )}
        <ThemeChoice />
        <button type="button" onClick={() => void signOut()}>
          Sign out
        </button>
      </div>
    </div>
  );
}

const STATUS = {
  live: 'Live',
  connecting: 'Connecting',
  lost: 'Out of touch; trying again',
} as const;

function LinkStatus() {
  const status = useLiveStatus();
  return (
    <span className={`link ${status}`} role="status">
      {STATUS[status]}
    </span>
  );
}

function ThemeChoice() {
  const [theme, setTheme] = useState(storedTheme);
  return (
    <label>
      Colours
      <select
        value={theme}
        onChange={({ target }) => {
          const chosen = target.value as Theme;
          saveTheme(chosen);
          setTheme(chosen);
        }}
      >
        <option value="system">As the system</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}

/** The window is called as its page is, for who has many. */
function PageTitle() {
  const path = useRouterState({ select: ({ location }) => location.pathname });
  useEffect(() => {
    const [, first = '', name] = path.split('/');
    const place = PLACES.find(([to]) => to === `/${first}`)?.[1] ?? 'Host';
    document.title = `${name === undefined ? place : decodeURIComponent(name)} - Pomona`;
  }, [path]);
  return null;
}
