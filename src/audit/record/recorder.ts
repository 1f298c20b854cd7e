import type { Decision } from '../../pdp/decision.ts';
import { PdpError } from '../../pdp/errors.ts';
import type { Recorder } from '../../pdp/ports.ts';
import type { LogWriter } from '../log/log-writer.ts';
import type { RecordPrivacy } from './record-privacy.ts';
import { RecordTemplates } from './record-template.ts';
import { recordHead, recordParts } from './record.ts';

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
  return {
    record: async (trace) => {
      const repeated = templates?.tail(trace);
      const { tail, blobs } =
        repeated === undefined ? recordParts(trace, fields) : { tail: repeated, blobs: [] };
      try {
        await writer.append((index) => `${head}${index}${tail}`, blobs);
      } catch (error) {
        if (onFailure === 'allow') return;
        throw new PdpError('audit_unavailable', 'the decision log cannot be written', { cause: error });
      }
    },
  };
}
