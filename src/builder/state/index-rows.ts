export interface ResultRow {
  readonly id: string;
  readonly state: 'committing' | 'ready' | 'deleting';
  readonly owner: string | null;
  readonly parent: string | null;
  readonly heading: string;
  /** JSON of the base's own settings; null for steps. */
  readonly config: string | null;
  /** File name of its log. */
  readonly log: string | null;
  readonly created_at: number;
  readonly used_at: number;
  readonly took_ms: number;
  readonly boot: string;
  readonly flushed: number;
}

export interface FlightRow {
  readonly id: string;
  readonly owner: string;
  readonly attempt: number;
  readonly log: string;
}

export interface FailureRow {
  readonly id: string;
  readonly attempt: number;
  readonly heading: string;
  readonly ending: string;
  readonly log: string;
  readonly at: number;
}
