import type { Decision } from '../../pdp/decision.ts';
import { PdpError } from '../../pdp/errors.ts';
import type { Blob } from './blob.ts';
import type { Recorder } from '../../pdp/ports.ts';
import type { LogWriter } from '../log/log-writer.ts';
import type { RecordPrivacy } from './record-privacy.ts';
import { RecordTemplates } from './record-template.ts';
import { recordHead, recordParts } from './record.ts';

const NONE: readonly Blob[] = [];

/** What a recorder needs. */
export interface RecorderOptions {
  readonly writer: Pick<LogWriter, 'log' | 'append'>;
  /** What an answer without a record is: denied, or allowed to go out with a `gap` record to follow. */
  readonly onFailure: 'deny' | 'allow';
  /** The HTTP status that the PEP's client gets for a decision. */
  readonly httpStatus: (decision: Decision) => number;
  readonly cluster?: string | undefined;
  readonly region?: string | undefined;
  /** Name and version of the engine that evaluates. */
  readonly engine: string;
  /** Whether users can authenticate here at all. */
  readonly acceptsTokens: boolean;
  /** Absent: names are in clear. */
  readonly privacy?: RecordPrivacy | undefined;
}

/**
 * Records each answer as one line of the decision log. With `onFailure: 'deny'` a record that is not safe rejects with a
 * `PdpError` (`audit_unavailable`).
 */
export function createRecorder(options: RecorderOptions): Recorder {
  const { writer, onFailure } = options;
  const head = recordHead(writer.log);
  const fields = { ...options, log: writer.log };
  // Under pseudonyms each line has values, and salts, of its own.
  const templates = options.privacy ? undefined : new RecordTemplates((trace) => recordParts(trace, fields));
  const failed = (error: unknown): void => {
    if (onFailure === 'allow') return;
    throw new PdpError('audit_unavailable', 'the decision log cannot be written', { cause: error });
  };
  // All lines of one turn of the event loop have one promise.
  let last: { readonly written: Promise<void>; readonly recorded: Promise<void> } | undefined;
  const append = (tail: string, blobs: readonly Blob[]): Promise<void> => {
    const written = writer.append((index) => `${head}${index}${tail}`, blobs);
    if (last?.written !== written) last = { written, recorded: written.catch(failed) };
    return last.recorded;
  };
  return {
    async record(trace) {
      const repeated = templates?.tail(trace);
      if (repeated !== undefined) return append(repeated, NONE);
      const { tail, blobs } = recordParts(trace, fields);
      return append(tail, blobs);
    },
  };
}
