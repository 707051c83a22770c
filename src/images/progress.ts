/** How far a long work on an image is. */
export interface ImageProgress {
  /**
   * `scan`: reading what is there; `search`: for secrets in it; `upload`, `download`: moving; `copy`:
   * from what is here.
   */
  readonly phase: 'scan' | 'search' | 'upload' | 'download' | 'copy';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface WorkOptions {
  readonly signal?: AbortSignal;
  progress?(progress: ImageProgress): void;
}
