import { listArtifacts, saveArtifact } from '../db/queries/artifacts.ts';
import { eventsAfter, latestEventSeq } from '../db/queries/events.ts';
import { findJob, payloadOf } from '../db/queries/jobs.ts';
import { findWorker } from '../db/queries/workers.ts';
import type { Context } from './context.ts';
import type { AgentsPort, EventsPort, JobsPort } from './http/ports.ts';
import { eventView } from './views.ts';

/** What the HTTP layer asks of the database. */

export function jobsPort({ db, bus }: Context): JobsPort {
  return {
    find: (jobId) => findJob(db, jobId),
    async findArtifact(jobId, path) {
      const job = await findJob(db, jobId);
      const all = job === undefined ? [] : await listArtifacts(db, jobId, job.epoch);
      return all.find((artifact) => artifact.path === path);
    },
    onChange: (jobId, listener) =>
      bus.listen(({ subjects, all }) => {
        if (all || subjects.has(jobId)) listener();
      }),
  };
}

export function eventsPort({ db, bus }: Context): EventsPort {
  return {
    latestSeq: () => latestEventSeq(db),
    read: async (after, limit) => (await eventsAfter(db, after, limit)).map(eventView),
    onChange: (listener) => bus.listen(listener),
  };
}

export function deliveryPort({
  db,
}: Context): Pick<AgentsPort, 'authorizeJob' | 'artifactStored' | 'sourceOf'> {
  return {
    async authorizeJob(hostId, jobId, epoch) {
      const job = await findJob(db, jobId);
      if (job === undefined || job.state === 'finished' || job.epoch !== epoch) return false;
      const worker = await findWorker(db, job.worker_id ?? '');
      return worker?.host_id === hostId;
    },
    artifactStored: ({ jobId, epoch, path, size, sha256 }) =>
      saveArtifact(db, { job_id: jobId, epoch, path, size, sha256 }),
    async sourceOf(jobId) {
      const job = await findJob(db, jobId);
      return job === undefined ? undefined : payloadOf(job).source;
    },
  };
}
