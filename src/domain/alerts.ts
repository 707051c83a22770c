/** What happened, as an event has it. */
export interface Happening {
  readonly kind: string;
  readonly subject: string;
  readonly state: string;
  readonly reason: string | null;
}

/** What somebody should hear of. */
export const ALERTS = [
  'host-quarantined',
  'host-needs-person',
  'host-task-failed',
  'host-lost',
  'host-disk-low',
  'host-slot-leaked',
  'host-clock-off',
  'rollout-back',
  'host-rollout-back',
  'integration-paused',
] as const;
export type AlertName = (typeof ALERTS)[number];

const TEXTS: Readonly<Record<AlertName, (subject: string) => string>> = {
  'host-quarantined': (host) => `host ${host} is quarantined`,
  'host-needs-person': (host) => `host ${host} does not get well by itself: look at it`,
  'host-task-failed': (host) => `host ${host} could not do what it was asked for`,
  'host-lost': (host) => `host ${host} is out of touch, and its jobs were given up`,
  'host-disk-low': (host) => `the disk of host ${host} is nearly full: nothing new starts there`,
  'host-slot-leaked': (host) =>
    `a macOS VM slot of host ${host} has leaked: it drains for a reboot`,
  'host-clock-off': (host) => `the clock of host ${host} is wrong`,
  'rollout-back': (pool) => `the new image of pool ${pool} was taken back`,
  'host-rollout-back': (what) => `the roll-out of ${what} to the hosts was taken back`,
  'integration-paused': (name) => `integration ${name} is paused`,
};

/** The alert that an event is, with what it says to people; undefined when it is none. */
export function alertOf({
  kind,
  subject,
  state,
  reason,
}: Happening): { readonly name: AlertName; readonly text: string } | undefined {
  const said = kind === 'pool' ? state : `${kind}-${state}`;
  const name = ALERTS.find((each) => each === said);
  if (name === undefined) return undefined;
  const text = TEXTS[name](subject);
  return { name, text: reason === null ? text : `${text} (${reason})` };
}
