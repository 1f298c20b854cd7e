import type { NamedLog } from '../read/log-folders.ts';
import { checkpointNote } from './trust.ts';

/** Logs that are not where their names say, by their folder: one that was put in the place of another verifies as well as the other did. */
export function misplacedIn(logs: readonly NamedLog[]): ReadonlyMap<string, string> {
  const misplaced = new Map<string, string>();
  const places = new Map<string, NamedLog>();
  for (const log of logs) {
    const origin = originOf(log);
    if (origin === undefined) continue;
    const twin = places.get(origin);
    places.set(origin, log);
    if (log.name !== '' && !origin.endsWith(`/${log.name}`))
      misplaced.set(log.dir, `it is the log ${origin}, and not the one of this worker`);
    else if (twin) misplaced.set(twin.dir, `it is the log ${origin}, which is in ${log.dir} as well`);
  }
  return misplaced;
}

/** The name of a log, by its checkpoint (C2SP tlog-checkpoint: the first line); `undefined` where there is none to read. */
function originOf({ dir }: NamedLog): string | undefined {
  try {
    return checkpointNote(dir)?.split('\n', 1)[0];
  } catch {
    // What is wrong with it is for whoever verifies the log to say.
    return undefined;
  }
}
