import { expect, it } from 'vitest';
import { createRecorder } from '../../../../src/audit/record/recorder.ts';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { createDecisionCache } from '../../../../src/pdp/decision-cache.ts';
import { NO_REVOCATIONS } from '../../../../src/pdp/no-revocations.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import { Shadow } from '../../../../src/pdp/shadow.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { SAMPLE_SCHEMA, snapshotOf } from '../../../support/snapshot.ts';
import { decisionsIn, logFolder, replay } from './fixture.ts';

const FORBID_ALL = '@id("none") forbid(principal, action, resource);';

/** GET is for users only. */
const USERS_ONLY = SAMPLE_SCHEMA.replace('principal: [User, Workload, Anonymous],', 'principal: [User],');

/** A log with two decisions and what a candidate makes of them. */
async function withCandidate(dir: string, candidate: PolicySnapshot): Promise<void> {
  const beneath: { shadow?: Shadow } = {};
  await using log = await openDecisionLog(dir, {
    setup: { observer: { checked: (trace) => beneath.shadow?.observe(trace) } },
  });
  const recorder = createRecorder({
    writer: log.writer,
    onFailure: 'deny',
    httpStatus: httpStatusOf,
    engine: engineName(),
    acceptsTokens: true,
  });
  const quiet = () => undefined;
  await using shadow = new Shadow({
    clock: log.clock,
    cache: createDecisionCache(1024 * 1024),
    maxAgeMs: 60_000,
    acceptsTokens: true,
    revocations: NO_REVOCATIONS,
    sources: [],
    active: { current: () => snapshotOf('@id("active") permit(principal, action, resource);') },
    candidate: { current: () => candidate },
    recorder,
    log: { info: quiet, warn: quiet, error: quiet },
    sample: 1,
    onOutcome: quiet,
  });
  beneath.shadow = shadow;
  log.activate('@id("active") permit(principal, action, resource);');
  for (let i = 0; i < 2; i++) await log.ask({});
  await shadow.settled();
}

it('is a match for what a candidate decided, and for the answers that it reused', async () => {
  using folder = logFolder();
  await withCandidate(folder.dir, snapshotOf(FORBID_ALL));
  const shadows = decisionsIn(folder.dir).filter(({ shadow_of: of }) => of !== undefined);
  expect(shadows.map(({ decision, enforced, stage }) => [decision, enforced, stage])).toEqual([
    ['DENY', false, 'evaluate'],
    ['DENY', false, 'evaluate'],
  ]);
  expect(await replay(folder.dir)).toMatchObject({ match: 4, by: { cedar: 2, reuse: 2, stage_result: 0 } });
});

it('is a match for what a candidate refused before its policies were asked, which the record says', async () => {
  using folder = logFolder();
  await withCandidate(folder.dir, snapshotOf(FORBID_ALL, USERS_ONLY));
  const shadows = decisionsIn(folder.dir).filter(({ shadow_of: of }) => of !== undefined);
  expect(shadows.map(({ reason, stage }) => [reason, stage])).toEqual([
    ['no_permit', 'bind'],
    ['no_permit', 'bind'],
  ]);
  expect(await replay(folder.dir)).toMatchObject({ match: 4, by: { cedar: 1, reuse: 1, stage_result: 2 } });
});
