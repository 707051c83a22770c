import { Gauge, type Registry } from 'prom-client';
import { JOB_STATES } from '../domain/job.ts';
import { WORKER_STATES } from '../domain/worker.ts';
import { listHosts } from '../db/queries/hosts.ts';
import { countJobsByState } from '../db/queries/jobs.ts';
import { countLiveWorkers } from '../db/queries/workers.ts';
import type { Context } from './context.ts';
import type { HostLinks } from './host-links.ts';

/** Registers what the fleet looks like now; each is exact when it is scraped. */
export function registerFleetMetrics(registry: Registry, context: Context, links: HostLinks): void {
  new Gauge({
    name: 'pomona_jobs',
    help: 'Jobs that are not finished, by state',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      for (const state of JOB_STATES) if (state !== 'finished') this.set({ state }, 0);
      for (const { state, n } of await countJobsByState(context.db)) this.set({ state }, Number(n));
    },
  });
  new Gauge({
    name: 'pomona_workers',
    help: 'Workers that are not destroyed, by pool and state',
    labelNames: ['pool', 'state'],
    registers: [registry],
    async collect() {
      this.reset();
      for (const { pool, state, n } of await countLiveWorkers(context.db)) {
        for (const each of WORKER_STATES)
          if (each !== 'destroyed') this.inc({ pool, state: each }, 0);
        this.inc({ pool, state }, Number(n));
      }
    },
  });
  new Gauge({
    name: 'pomona_hosts',
    help: 'Hosts, by whether they are online',
    labelNames: ['online'],
    registers: [registry],
    async collect() {
      const online = (await listHosts(context.db)).map((host) => links.of(host).online);
      this.set({ online: 'true' }, online.filter(Boolean).length);
      this.set({ online: 'false' }, online.filter((is) => !is).length);
    },
  });
}
