import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { messageOf } from '../api/client.ts';

/** Asks before something is done. Escape and Cancel close it; the button does it and shows what fails. */
export function Dialog({
  title,
  button,
  danger = false,
  act,
  close,
  children,
}: {
  readonly title: string;
  readonly button: string;
  readonly danger?: boolean;
  readonly act: (form: FormData) => Promise<unknown>;
  readonly close: () => void;
  readonly children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    act(new FormData(event.currentTarget))
      .then(close, setError)
      .finally(() => setBusy(false));
  };
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={close}>
      <form onSubmit={submit}>
        <h2 id={heading}>{title}</h2>
        {children}
        {error !== undefined && (
          <p className="failed" role="alert">
            {messageOf(error)}
          </p>
        )}
        <div className="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className={danger ? 'danger' : 'primary'} disabled={busy}>
            {button}
          </button>
        </div>
      </form>
    </dialog>
  );
}
