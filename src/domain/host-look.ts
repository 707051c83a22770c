import { DISK_LOW_BYTES, type HostFacts, type HostState } from './host.ts';

/** What a look at a host is made of. */
export interface SeenHost {
  readonly state: HostState;
  readonly stateReason: string | undefined;
  readonly online: boolean;
  readonly lost: boolean;
  readonly diskFreeBytes: number | undefined;
  readonly agentVersion: string | undefined;
  readonly facts: HostFacts | undefined;
}

/** What the fleet wants of it. */
export interface WantedHost {
  readonly images: readonly string[];
  /** Version of the agent that most have: that of the controller. */
  readonly agentVersion: string;
}

/** What is wrong with a host, a sentence each, worst first. */
export function alarmsOf(host: SeenHost): string[] {
  const alarms: string[] = [];
  if (host.lost) alarms.push('It is out of touch, and its jobs were given up.');
  else if (!host.online) alarms.push('Its agent is not connected.');
  if (host.state === 'quarantined') {
    alarms.push(`It is quarantined: ${host.stateReason ?? 'no reason given'}.`);
  }
  if (host.diskFreeBytes !== undefined && host.diskFreeBytes < DISK_LOW_BYTES) {
    alarms.push('Its disk is nearly full: nothing new starts there.');
  }
  if (host.facts?.macosSlots?.leaked === true) {
    alarms.push('A macOS VM slot has leaked: it drains for a reboot.');
  }
  return alarms;
}

/** Where a host is not as the fleet wants it, a sentence each. */
export function driftOf({ facts, agentVersion }: SeenHost, wanted: WantedHost): string[] {
  const drift: string[] = [];
  if (agentVersion !== undefined && agentVersion !== wanted.agentVersion) {
    drift.push(`Its agent is version ${agentVersion}, the controller ${wanted.agentVersion}.`);
  }
  if (facts === undefined) return drift;
  const under = new Map((facts.imageFetches ?? []).map(({ name, detail }) => [name, detail]));
  const has = new Set(facts.images.map(({ name }) => name));
  for (const image of new Set([...wanted.images, ...under.keys()])) {
    const detail = under.get(image);
    if (detail !== undefined) drift.push(`Image ${image}: ${detail}.`);
    else if (!has.has(image)) drift.push(`Image ${image} is not there.`);
  }
  return drift;
}
