import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isRecord } from '../../pdp/external-json.ts';
import { parseRecord } from '../read/decision-record.ts';

/** More than a note has. */
const MAX_BYTES = 16 * 1024;

/** Erasures that were made while no process wrote the log: they wait in its inbox to be recorded. Changes nothing there. */
export function waitingErasures(dir: string): ReadonlySet<string> {
  const inbox = join(dir, 'inbox');
  const found = new Set<string>();
  for (const name of namesIn(inbox)) {
    const { kind, fields } = noteIn(join(inbox, name)) ?? {};
    if (kind === 'erased' && isRecord(fields) && typeof fields['erasure'] === 'string')
      found.add(fields['erasure']);
  }
  return found;
}

function namesIn(inbox: string): readonly string[] {
  try {
    return readdirSync(inbox).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
}

/** One that was taken meanwhile is in the log, or will be. */
function noteIn(path: string): ReturnType<typeof parseRecord> {
  try {
    const found = lstatSync(path);
    return found.isFile() && found.size <= MAX_BYTES ? parseRecord(readFileSync(path)) : undefined;
  } catch {
    return undefined;
  }
}
