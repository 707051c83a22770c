import { messageOf } from '../api/client.ts';

/** A page that cannot be shown at all. */
export function Broken({ error }: { readonly error: unknown }) {
  return (
    <main className="main">
      <h1>This page cannot be shown</h1>
      <p className="failed" role="alert">
        {messageOf(error)}
      </p>
      <button type="button" className="primary" onClick={() => location.reload()}>
        Load it again
      </button>
    </main>
  );
}
