import type { StepEnd } from './execute.ts';

/** Where a step stands in its build. */
export interface StepPlace {
  /** Names of the nested builds that it is in, outermost first. */
  readonly build: readonly string[];
  /** From 1; the base is 0. */
  readonly index: number;
  /** How many steps there are beside the base. */
  readonly of: number;
  readonly heading: string;
  /** Names of the nested build that it copies from, outermost first. */
  readonly copies?: readonly string[];
  /** It is never made anew on purpose: a person did it, or something rests on it that one did. */
  readonly kept?: boolean;
}

/** What a build tells while it goes on. Events of builds that run at once are mixed. */
export type BuildEvent =
  | { readonly type: 'step'; readonly place: StepPlace }
  | { readonly type: 'output'; readonly place: StepPlace; readonly data: Buffer }
  | { readonly type: 'note'; readonly place: StepPlace; readonly text: string }
  | {
      readonly type: 'done';
      readonly place: StepPlace;
      readonly id: string;
      /** `shared`: another build made it meanwhile. */
      readonly how: 'cached' | 'made' | 'shared';
      readonly ms: number;
    };

/** How a build ended. */
export type BuildOutcome =
  | { readonly outcome: 'succeeded'; readonly id: string }
  | {
      readonly outcome: 'failed';
      readonly place: StepPlace;
      readonly ending: StepEnd;
      /** Path of the step's log. */
      readonly log: string;
    }
  | { readonly outcome: 'cancelled' };
