import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { openLogWriter } from '../../../../src/audit/log/log-writer.ts';
import { createRecorder } from '../../../../src/audit/record/recorder.ts';
import type { AttributeRecord } from '../../../../src/pdp/attribute.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import type { EntityQuestion } from '../../../../src/pdp/entity-question.ts';
import { HeaderFields } from '../../../../src/pdp/header-fields.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { setUp } from '../../pdp/decision-point.ts';
import { type RecordedLog, recordedLog, snapshotWith, told } from './fixture.ts';

const OLD = `@id("owner") permit(principal is ZeroTrust::User, action == ZeroTrust::Action::"GET", resource)
when { resource.path == "/mine" };`;

function question(path: string, properties: AttributeRecord = {}): EntityQuestion {
  return {
    subject: { uid: { type: 'ZeroTrust::User', id: 'demo/alice' }, properties, subjects: [] },
    credentials: new HeaderFields([], false),
    action: { type: 'ZeroTrust::Action', id: 'GET' },
    resource: {
      uid: { type: 'ZeroTrust::Endpoint', id: `api ${path}` },
      properties: { host: 'api' },
      subjects: [],
    },
    context: {},
    asserted: ['subject'],
  };
}

async function recordQuestions(
  questions: readonly EntityQuestion[],
  change: (trace: DecisionTrace) => DecisionTrace = (trace) => trace,
): Promise<RecordedLog> {
  const dir = await mkdtemp(join(tmpdir(), 'pdp-diff-asked-'));
  const quiet = () => undefined;
  const point = setUp({ policies: OLD });
  await using writer = await openLogWriter({
    dir,
    log: 'example.com/pdp/test',
    durability: 'written',
    plaintext: [],
    logger: { info: quiet, warn: quiet, error: quiet },
    clock: point.clock,
  });
  const parts = { writer, onFailure: 'deny', httpStatus: httpStatusOf, engine: engineName() } as const;
  const recorder = createRecorder({ ...parts, acceptsTokens: true });
  for (const one of questions) await recorder.record(change(await point.decide(one)));
  return recordedLog(dir);
}

describe('a question about entities', () => {
  it('is asked anew as it was', async () => {
    await using log = await recordQuestions([question('/mine'), question('/mine'), question('/yours')]);
    expect(told(await log.diffs(snapshotWith(OLD)))).toEqual(Array(3).fill('unchanged'));
    const next = snapshotWith(OLD.replace('/mine', '/yours'));
    expect(told(await log.diffs(next))).toEqual([
      'revoked decision reason policies',
      'revoked decision reason policies',
      'gained decision reason policies',
    ]);
  });

  it('is open in what its caller may have said and nobody read', async () => {
    await using log = await recordQuestions([question('/mine', { department: 'legal' })]);
    const next = snapshotWith(`${OLD}
@id("dept") permit(principal is ZeroTrust::User, action, resource) when { principal has department };
@id("sni") forbid(principal, action, resource) when { context has sni };
@id("user") forbid(principal, action, resource) unless { context has user && context.user.subject == "alice" };`);
    const [diff] = await log.diffs(next);
    expect(diff?.open).toMatchObject({ why: 'needs_facts', may: ['ALLOW', 'DENY'] });
    expect(diff?.open?.about.toSorted()).toEqual(['ZeroTrust::User.department', 'context.sni']);
  });

  it('stays unbound under the same schema, and is open under another one', async () => {
    const brew = { ...question('/mine'), action: { type: 'ZeroTrust::Action', id: 'BREW' } };
    await using log = await recordQuestions([question('/mine'), brew]);
    expect(
      told(await log.diffs(snapshotWith(`${OLD}\n@id("x") permit(principal, action, resource);`))),
    ).toEqual(['reclassified policies', 'unchanged']);
    const { schemas } = snapshotWith(OLD).texts;
    const other = schemas.map(({ file, text }) => ({
      file,
      text: text.replace('action GET,', 'action BREW, GET,'),
    }));
    expect(told(await log.diffs(snapshotWith(OLD, { schemas: other })))).toEqual([
      'unchanged',
      'not_replayable inputs_missing',
    ]);
  });

  it('is left out where nobody acted on the answer', async () => {
    await using shadow = await recordQuestions([question('/mine')], (trace) => ({
      ...trace,
      shadowOf: 'x',
      enforced: false,
    }));
    await using explained = await recordQuestions([question('/mine')], (trace) => ({
      ...trace,
      explained: true,
    }));
    expect((await shadow.report(snapshotWith(OLD))).tally.aside).toEqual({ shadow: 1, explained: 0 });
    const { tally } = await explained.report(snapshotWith(OLD));
    expect(tally.aside).toEqual({ shadow: 0, explained: 1 });
    expect(tally.buckets.unchanged).toBe(0);
  });
});
