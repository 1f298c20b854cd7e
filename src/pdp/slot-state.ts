import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from './log.ts';

/** What is remembered of a promotion across restarts. */
export interface SlotState {
  readonly enforced: 'sets' | 'candidate';
  /** Digest that was in force. */
  readonly digest: string;
  /** Digest that the promotion put out of force. */
  readonly previous?: string;
}

/** The state in a file; `undefined` where there is none, or none that can be read. */
export function readSlotState(file: string, log: Log): SlotState | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.error(
        { file, err: error },
        'whether a candidate was promoted cannot be read: the policy sets are in force',
      );
    return undefined;
  }
  const state = parse(text);
  if (!state)
    log.error({ file }, 'whether a candidate was promoted is not legible: the policy sets are in force');
  return state;
}

function parse(text: string): SlotState | undefined {
  try {
    const { enforced, digest, previous } = JSON.parse(text) as Partial<Record<keyof SlotState, unknown>>;
    if ((enforced !== 'sets' && enforced !== 'candidate') || typeof digest !== 'string') return undefined;
    return { enforced, digest, ...(typeof previous === 'string' && { previous }) };
  } catch {
    return undefined;
  }
}

/** Writes the state; the file holds the old one or the new one, nothing between. Throws the error of `node:fs`. */
export function writeSlotState(file: string, state: SlotState): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Workers that take a change of a promoted candidate all write it at once.
  const draft = `${file}.${process.pid}.next`;
  writeFileSync(draft, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}
