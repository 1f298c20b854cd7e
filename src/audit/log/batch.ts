import type { Blob } from '../record/blob.ts';

/** Lines that go out together and share one fate. */
export interface Batch {
  /** Index that the first line was made for. */
  readonly firstIndex: number;
  readonly lines: string[];
  readonly makers: ((index: number) => string)[];
  readonly blobs: Blob[];
  size: number;
  /** Absent with `async`, where nobody waits. */
  readonly done?: PromiseWithResolvers<void>;
}
