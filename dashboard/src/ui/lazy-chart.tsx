import { lazy, Suspense, type ComponentProps } from 'react';
import { Loading } from './parts.tsx';

const Drawn = lazy(() => import('./chart.tsx'));

/** A chart, whose library is loaded when the first is shown. */
export function Chart(props: ComponentProps<typeof Drawn>) {
  return (
    <Suspense fallback={<Loading what={props.title} />}>
      <Drawn {...props} />
    </Suspense>
  );
}
