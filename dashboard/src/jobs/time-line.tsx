import type { JobView } from '../../../src/protocol/api/resources.ts';
import type { Timeline } from '../../../src/protocol/api/history-resources.ts';
import { exactTime, span, useNow } from '../ui/time.tsx';
import { extentOf, phasesOf, type Phase } from './phases.ts';

/** What a job waited for and when, one bar below the other. */
export function TimeLine({
  job,
  timeline,
}: {
  readonly job: JobView;
  readonly timeline: Timeline;
}) {
  const now = useNow();
  const phases = phasesOf(job, timeline);
  const extent = extentOf(phases, now);
  return (
    <div className="phases" role="list" aria-label="Time line">
      {phases.map((phase) => (
        <Bar
          key={`${phase.of} ${phase.name} ${phase.from}`}
          phase={phase}
          extent={extent}
          now={now}
        />
      ))}
    </div>
  );
}

function Bar({
  phase,
  extent: { from, to },
  now,
}: {
  readonly phase: Phase;
  readonly extent: { readonly from: number; readonly to: number };
  readonly now: number;
}) {
  const end = phase.to ?? Math.max(now, phase.from);
  const at = (time: number) => ((time - from) / (to - from)) * 100;
  const lasted = span(end - phase.from);
  return (
    <div className="phase" role="listitem" title={`${exactTime(phase.from)}, for ${lasted}`}>
      <span>
        <span className="soft">{phase.of}</span> {phase.name}
      </span>
      <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
        <rect
          className={phase.of}
          x={at(phase.from)}
          y="0"
          width={Math.max(0.6, at(end) - at(phase.from))}
          height="10"
        />
      </svg>
      <span className="number">{phase.to === undefined ? `${lasted} so far` : lasted}</span>
    </div>
  );
}
