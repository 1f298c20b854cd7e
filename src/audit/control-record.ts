import { timestampText } from './json-value.ts';
import { RECORD_VERSION } from './record.ts';

/** Records that are about the log itself. */
export type ControlKind = 'boot' | 'shutdown' | 'recovered' | 'gap';

/** What a control record holds. */
export interface ControlRecord {
  readonly kind: ControlKind;
  /** Origin name of the log. */
  readonly log: string;
  readonly index: number;
  /** Unix ms. */
  readonly now: number;
  /** The members that belong to the kind, as JSON text without braces. */
  readonly fields: string;
}

/** The line of a control record, without line feed. Its first fields are those of a decision record. */
export function controlLine({ kind, log, index, now, fields }: ControlRecord): string {
  const head = `{"v":${RECORD_VERSION},"kind":"${kind}","log":${JSON.stringify(log)},"index":${index}`;
  return `${head},"timestamp":"${timestampText(now)}",${fields}}`;
}
