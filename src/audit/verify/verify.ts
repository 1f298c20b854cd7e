import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDirLocked } from '../log/dir-lock.ts';
import { type LogSegment, logSegments } from '../read/log-folder.ts';
import { InputError, messageOf } from '../../pdp/errors.ts';
import { Findings } from './findings.ts';
import { type HeadSources, type Heads, headsOf } from './head-check.ts';
import { LogVerification } from './log-verification.ts';
import type { VerifyReport } from './report.ts';
import { FolderChanged, isRefusal } from '../read/segment-source.ts';

/** What to check a log with. */
export interface VerifyOptions extends HeadSources {
  /** Envoy access log in JSON lines with `decision_id` and `decision`. */
  readonly accessLog?: string;
  /** Told of progress now and then; `total` where the checkpoint says it. */
  readonly onProgress?: (records: number, total: number | undefined) => void;
  /** Whether the verification is begun anew, a few times, where retention removes what it is about to read. Default true. */
  readonly mayChange?: boolean;
}

/** How often a log is looked at anew: the oldest segments go first, so that this shows early. */
const MAX_ATTEMPTS = 50;

/**
 * Checks a log folder, offline: streams every segment once. Also one that is being written: what is beyond the newest checkpoint is then only counted.
 * Throws `InputError` where there is no log, or where whoever asks may not read it, and the system's error where it cannot be read.
 */
export async function verifyLog(dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await verifyOnce(dir, { mayChange: attempt < MAX_ATTEMPTS, ...options });
    } catch (error) {
      if (isRefusal(error)) throw notAllowed(dir, error);
      if (!(error instanceof FolderChanged)) throw error;
    }
  }
}

function notAllowed(dir: string, error: unknown): InputError {
  const message = `may not be read in full by this user (${messageOf(error)}): run it as the user that writes the log, or on a copy. Nothing was found out about the log`;
  return new InputError('the decision log cannot be checked:', [{ where: dir, message }]);
}

async function verifyOnce(dir: string, options: VerifyOptions): Promise<VerifyReport> {
  const findings = new Findings();
  const alive = isDirLocked(dir) || isDirLocked(join(dir, 'keys'));
  const heads = headsOf(dir, options, findings);
  const segments = segmentsIn(dir);
  const verification = new LogVerification(dir, { heads, alive, findings }, options);
  await verification.begin();
  for (const [position, segment] of segments.entries())
    await verification.segment(segment, position === segments.length - 1);
  if (options.mayChange === true && hasChanged(dir, segments)) throw new FolderChanged();
  await verification.end();
  return { ...verification.report(), segments: segments.length, ...verdicts(findings, heads, options) };
}

/** A listing that is read while files are renamed may lack one that was there all the time. */
function hasChanged(dir: string, segments: readonly LogSegment[]): boolean {
  const listed = new Set(segments.map(({ firstIndex }) => firstIndex));
  const last = segments.at(-1)?.firstIndex ?? Number.POSITIVE_INFINITY;
  return segmentsIn(dir).some(({ firstIndex }) => firstIndex < last && !listed.has(firstIndex));
}

/** A folder that has lost all of its segments is still one to judge. */
function segmentsIn(dir: string): readonly LogSegment[] {
  try {
    return logSegments(dir);
  } catch (error) {
    if (existsSync(join(dir, 'checkpoint'))) return [];
    throw error;
  }
}

function verdicts(findings: Findings, { trust, newest }: Heads, { older }: VerifyOptions) {
  const checked = newest !== undefined && !findings.unchecked('integrity');
  return {
    integrity: findings.failed('integrity')
      ? ('failed' as const)
      : checked
        ? ('ok' as const)
        : ('not_checked' as const),
    completeness: findings.failed('completeness') ? ('failed' as const) : ('ok' as const),
    ...(newest && {
      sealed: {
        size: newest.size,
        root: Buffer.from(newest.root).toString('base64'),
        time: newest.time,
      },
    }),
    evidence: { ...(trust && { identityKey: trust.from }), olderCheckpoint: older !== undefined },
    problems: findings.problems,
    problemCount: findings.count,
  };
}
