import type { ReactNode } from 'react';

/** A number, or a short text, with what it is. To stand in a `dl`. */
export function Figure({
  name,
  children,
}: {
  readonly name: string;
  readonly children: ReactNode;
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
