import type { ManifestEntry } from './copy/manifest.ts';
import type { FlightRow } from './state/index-rows.ts';
import type { StepLog } from './state/step-log.ts';
import type { Layout } from './layout.ts';
import type { CopyOp, RunOp } from './spec/spec.ts';
import type { StepContext } from './step-context.ts';
import type { Trust } from './trust.ts';

/** What making one step of any kind is told. */
export interface StepOrder {
  readonly id: string;
  readonly heading: string;
  readonly log: StepLog;
  readonly flight: FlightRow;
  readonly signal: AbortSignal;
}

export interface RunOrder extends StepOrder {
  readonly parent: ParentResult;
  readonly context: StepContext;
  readonly op: RunOp;
  readonly trust: Trust;
  readonly secrets: ReadonlyMap<string, Buffer>;
}

export interface CopyOrder extends StepOrder {
  readonly parent: ParentResult;
  readonly context: StepContext;
  readonly op: CopyOp;
  /** Directory that the sources are in. */
  readonly root: string;
  readonly entries: readonly ManifestEntry[];
}

/** The result that a step is made over. */
export interface ParentResult {
  readonly id: string;
  readonly snapshot: string;
  readonly layout: Layout;
}
