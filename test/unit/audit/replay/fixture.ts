import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { type ReplayLogOptions, replayLog } from '../../../../src/audit/replay/replay-log.ts';
import type { Tally } from '../../../../src/audit/replay/tally.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';

/** A folder for a log; disposing removes it. */
export function logFolder(): Disposable & { readonly dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'pdp-replay-'));
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }) };
}

/** What came of replaying a log. */
export async function replay(dir: string, options: Partial<ReplayLogOptions> = {}): Promise<Tally> {
  const { tally } = await replayLog(dir, { httpStatus: httpStatusOf, engine: engineName(), ...options });
  return tally;
}

/** A record as tests change it. */
export type Loose = Record<string, unknown>;

/** Rewrites the records of kind `decision`; `undefined`: the line goes. */
export function changeDecisions(dir: string, change: (record: Loose, at: number) => Loose | undefined): void {
  let at = 0;
  eachFile(dir, '.ndjson', (line) => {
    const record = JSON.parse(line) as Loose;
    if (record['kind'] !== 'decision') return line;
    const changed = change(record, at++);
    return changed && JSON.stringify(changed);
  });
}

/** Rewrites the blobs of a kind; `undefined`: the line goes. */
export function changeBlobs(
  dir: string,
  kind: string,
  change: (digest: string, payload: string) => string | undefined,
): void {
  eachFile(dir, '.blobs', (line) => {
    const space = line.indexOf(' ');
    const [digest, payload] = [line.slice(0, space), line.slice(space + 1)];
    return payload.startsWith(`{"kind":"${kind}"`) ? change(digest, payload) : line;
  });
}

/** The records of kind `decision`. */
export function decisionsIn(dir: string): readonly Loose[] {
  const found: Loose[] = [];
  changeDecisions(dir, (record) => {
    found.push(record);
    return record;
  });
  return found;
}

function eachFile(dir: string, ending: string, change: (line: string) => string | undefined): void {
  for (const name of readdirSync(dir).sort()) {
    if (!name.endsWith(ending)) continue;
    const lines = readFileSync(join(dir, name), 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    const changed = lines.map(change).filter((line) => line !== undefined);
    writeFileSync(join(dir, name), changed.map((line) => `${line}\n`).join(''));
  }
}
