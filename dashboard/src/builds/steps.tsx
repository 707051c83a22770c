import { useRef, useState } from 'react';
import type { JobView } from '../../../src/protocol/api/resources.ts';
import type { LogMark } from '../../../src/protocol/log-marks.ts';
import { LogView, useLog } from '../log/log.tsx';
import { LogLines } from '../log/log-lines.ts';
import { bytes, count } from '../ui/amounts.ts';
import { Badge, type Tone } from '../ui/parts.tsx';
import { span } from '../ui/time.tsx';
import { graphOf, type GraphRow } from './graph.ts';
import { prefixOf, Steps as Gathered, type Step } from './steps-of.ts';

const TONES: Readonly<Record<NonNullable<Step['how']> | 'running', Tone>> = {
  ...{ cached: 'off', made: 'good', shared: 'good', failed: 'bad', running: 'busy' },
};
const WORDS = {
  cached: 'cached',
  made: 'run',
  shared: 'run by another build',
  failed: 'failed',
  running: 'running',
} as const;

const LANE_PX = 18;
/** From the top of a row to the middle of its step. */
const NODE_PX = 22;

/** The steps of a build: what was there already, what was run, how long each took and what it added. */
export default function Steps({ job }: { readonly job: JobView }) {
  const gathered = useRef(new Gathered());
  const { log, lines } = useLog(job.id, job.epoch, (text, line) => {
    const mark = parsed(text);
    if (mark !== undefined) gathered.current.take(mark, line);
  });
  const [open, setOpen] = useState<string>();
  const steps = gathered.current.list;
  if (steps.length === 0)
    return (
      <p className="soft">
        {lines > 0 || job.finishedAt !== undefined
          ? 'Its log tells of no steps.'
          : 'None has begun yet.'}
      </p>
    );
  const longest = Math.max(1, ...steps.map(({ ms = 0 }) => ms));
  const graph = graphOf(steps);
  const lanes = 1 + Math.max(...graph.map(({ lane }) => lane));
  const cached = steps.filter(({ how }) => how === 'cached').length;
  return (
    <>
      <p>
        {count(steps.length, 'step')}: {cached} cached, {steps.length - cached} run.
      </p>
      <ol className="steps">
        {graph.map((row) => {
          const { step } = row;
          const key = `${step.build.join('/')} ${step.index}`;
          const how = step.how ?? (job.state === 'finished' ? 'failed' : 'running');
          return (
            <li key={key} style={{ paddingLeft: lanes * LANE_PX + 8 }}>
              <Rail row={row} lanes={lanes} how={how} />
              <div className={`step ${how === 'failed' ? 'failed-step' : how}`}>
                <span className="number">{step.index === 0 ? 'base' : step.index}</span>
                <code>
                  {prefixOf(step)}
                  {step.heading.split('\n')[0]}
                </code>
                <Badge tone={TONES[how]}>{WORDS[how]}</Badge>
                <span className="actions">
                  <span className="number">
                    {step.ms !== undefined && span(step.ms)}
                    {step.bytes !== undefined && `, ${bytes(step.bytes)}`}
                  </span>
                  <button
                    type="button"
                    aria-expanded={open === key}
                    onClick={() => setOpen(open === key ? undefined : key)}
                  >
                    Log<span className="hidden"> of step {key}</span>
                  </button>
                </span>
                {step.ms !== undefined && (
                  <svg
                    className="bar"
                    viewBox="0 0 100 6"
                    preserveAspectRatio="none"
                    aria-hidden="true"
                  >
                    <rect width={Math.max(0.5, (step.ms / longest) * 100)} height="6" />
                  </svg>
                )}
              </div>
              {open === key && (
                <StepLog log={log} step={step} lines={lines} name={`${job.id}-${step.index}.log`} />
              )}
            </li>
          );
        })}
      </ol>
    </>
  );
}

/** Where a step stands among the others: its build's lane, what leads into it and what passes by. */
function Rail({
  row: { lane, above, below, joins, passing },
  lanes,
  how,
}: {
  readonly row: GraphRow;
  readonly lanes: number;
  readonly how: string;
}) {
  const at = (of: number) => of * LANE_PX + LANE_PX / 2;
  const x = at(lane);
  return (
    <svg className="rail" width={lanes * LANE_PX} aria-hidden="true">
      {passing.map((other) => (
        <line key={other} x1={at(other)} x2={at(other)} y1="0" y2="100%" />
      ))}
      {above && <line x1={x} x2={x} y1="0" y2={NODE_PX} />}
      {below && <line x1={x} x2={x} y1={NODE_PX} y2="100%" />}
      {joins !== undefined && (
        <path d={`M${at(joins)} 0Q${at(joins)} ${NODE_PX} ${x} ${NODE_PX}`} />
      )}
      <circle className={how} cx={x} cy={NODE_PX} r="5" />
    </svg>
  );
}

function StepLog({
  log,
  step,
  lines,
  name,
}: {
  readonly log: LogLines;
  readonly step: Step;
  readonly lines: number;
  readonly name: string;
}) {
  const own = new LogLines();
  const prefix = prefixOf(step);
  for (const line of log.lines.slice(step.from, step.to ?? lines)) {
    const isOwn = prefix === '' ? !/^\[[^\]]+\] /.test(line.text) : line.text.startsWith(prefix);
    if (isOwn) own.lines.push({ ...line, text: line.text.slice(prefix.length) });
  }
  return (
    <LogView
      log={own}
      lines={own.lines.length}
      ended={step.how !== undefined}
      problem={undefined}
      follows={step.how === undefined}
      name={name}
    />
  );
}

function parsed(text: string): LogMark | undefined {
  try {
    return JSON.parse(text) as LogMark;
  } catch {
    return undefined;
  }
}
