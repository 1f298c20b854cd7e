import { isRecord } from '../../pdp/external-json.ts';
import type { LogRecord } from '../read/decision-record.ts';

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** An object without the members that have nothing to say. */
export function defined(members: Json): Json {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** A text, where it is one. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** What is made of a text in a record, where it is one. */
export function textOf<T>(record: LogRecord, name: string, make: (value: string) => T): T | undefined {
  const value = record[name];
  return typeof value === 'string' ? make(value) : undefined;
}

/** What is made of a number in a record, where it is one. */
export function numberOf<T>(record: LogRecord, name: string, make: (value: number) => T): T | undefined {
  const value = record[name];
  return typeof value === 'number' ? make(value) : undefined;
}

/** An object in a record, where it is one. */
export function member(record: LogRecord, name: string): LogRecord | undefined {
  const value = record[name];
  return isRecord(value) ? value : undefined;
}
