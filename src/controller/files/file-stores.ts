import type { LogStore } from '../logs/log-store.ts';
import type { ArtifactStore } from './artifact-store.ts';
import type { SourceStore } from './source-store.ts';

/** What a store of jobs' files does: as the ones on the disk, and the ones in a bucket. */
export type LogFiles = Pick<LogStore, keyof LogStore>;
export type ArtifactFiles = Pick<ArtifactStore, keyof ArtifactStore>;
export type SourceFiles = Pick<SourceStore, keyof SourceStore>;
