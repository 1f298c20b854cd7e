import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDirLocked } from '../log/dir-lock.ts';
import { type LogSegment, logSegments } from '../read/log-folder.ts';
import { Findings } from './findings.ts';
import { type HeadSources, type Heads, headsOf } from './head-check.ts';
import { LogVerification } from './log-verification.ts';
import type { VerifyReport } from './report.ts';

/** What to check a log with. */
export interface VerifyOptions extends HeadSources {
  /** Envoy access log in JSON lines with `decision_id` and `decision`. */
  readonly accessLog?: string;
  /** Told of progress now and then; `total` where the checkpoint says it. */
  readonly onProgress?: (records: number, total: number | undefined) => void;
}

/**
 * Checks a log folder, offline: streams every segment once. Also one that is being written: what is beyond the newest checkpoint is then only counted.
 * Throws `InputError` where there is no log, and the system's error where it cannot be read.
 */
export async function verifyLog(dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const findings = new Findings();
  const alive = isDirLocked(dir) || isDirLocked(join(dir, 'keys'));
  const heads = headsOf(dir, options, findings);
  const segments = segmentsIn(dir);
  const verification = new LogVerification(dir, { heads, alive, findings }, options);
  await verification.begin();
  for (const [position, segment] of segments.entries())
    await verification.segment(segment, position === segments.length - 1);
  await verification.end();
  return { ...verification.report(), segments: segments.length, ...verdicts(findings, heads, options) };
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
