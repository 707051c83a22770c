import { useEffect, useId, useState, type FormEvent } from 'react';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { errorOf, messageOf } from '../api/client.ts';
import { loadSession, useSession } from '../api/session.ts';

/** By a token, or by the identity provider where there is one. */
export function SignIn() {
  const { problem, returnTo = '/' } = useSearch({ from: '/sign-in' });
  const navigate = useNavigate();
  const session = useSession();
  const [error, setError] = useState<string | undefined>(problem);
  const [busy, setBusy] = useState(false);
  const field = useId();
  const openid = session?.ways.openid;
  useEffect(() => {
    document.title = 'Sign in - Pomona';
    if (session === undefined)
      loadSession().catch((failure: unknown) => setError(messageOf(failure)));
  }, [session]);
  useEffect(() => {
    if (session?.signedIn === true) void navigate({ href: ownPath(returnTo), replace: true });
  }, [session, navigate, returnTo]);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = String(new FormData(event.currentTarget).get('token') ?? '').trim();
    setBusy(true);
    setError(undefined);
    signIn(token)
      .catch((failure: unknown) => setError(messageOf(failure)))
      .finally(() => setBusy(false));
  };
  return (
    <div className="sign-in">
      <main className="card">
        <h1>Sign in to Pomona</h1>
        {error !== undefined && (
          <p className="failed" role="alert">
            {error}
          </p>
        )}
        {openid !== undefined && (
          <a
            className="button primary"
            href={`/web/openid/start?returnTo=${encodeURIComponent(ownPath(returnTo))}`}
          >
            Sign in with {new URL(openid).host}
          </a>
        )}
        <form onSubmit={submit} className="field">
          <label htmlFor={field}>API token</label>
          <input
            id={field}
            name="token"
            type="password"
            required
            autoComplete="current-password"
            autoFocus
          />
          <p className="soft">
            Make one with <code>pomona token create you --role viewer</code>. The first one of all
            is in <code>admin.token</code> of the controller’s data directory.
          </p>
          <div className="actions">
            <button type="submit" className={openid === undefined ? 'primary' : ''} disabled={busy}>
              Sign in
            </button>
          </div>
        </form>
      </main>
    </div>
  );
}

async function signIn(token: string): Promise<void> {
  const response = await fetch('/web/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  });
  if (!response.ok) throw await errorOf(response);
  await loadSession();
}

function ownPath(path: string): string {
  return /^\/(?![/\\])/.test(path) ? path : '/';
}
