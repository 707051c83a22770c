/** How far a long work on an image is. */
export interface ImageProgress {
  /** `scan`: reading what is there; `upload`, `download`: moving; `copy`: from what is here. */
  readonly phase: 'scan' | 'upload' | 'download' | 'copy';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface WorkOptions {
  readonly signal?: AbortSignal;
  progress?(progress: ImageProgress): void;
}
