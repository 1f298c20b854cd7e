import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRecordPrivacy } from '../../../../src/audit/privacy/private-record.ts';
import { isDecision } from '../../../../src/audit/read/decision-record.ts';
import { questionOf } from '../../../../src/audit/read/question.ts';
import { recordHead, recordParts } from '../../../../src/audit/record/record.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { replayLog } from '../../../../src/audit/replay/replay-log.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { tempDir } from '../log-fixture.ts';
import { accessRequest, allowedTrace, refusedTrace } from '../trace-fixture.ts';
import { answerable, decisions, linesOf, packsOf, pseudonymsOf } from './privacy-fixture.ts';

const BASE = { log: 'l', engine: 'e', acceptsTokens: true, httpStatus: () => 200 };

/** A record of one that writes pseudonyms, with the blobs that it refers to. */
function written(
  trace: DecisionTrace,
  { kinds, segment = () => 0 }: { kinds?: string[]; segment?: () => number } = {},
) {
  const privacy = createRecordPrivacy({ pseudonyms: pseudonymsOf(kinds), segment });
  const { tail, blobs } = recordParts(trace, { ...BASE, privacy });
  const text = `${recordHead('l')}0${tail}`;
  const pack = new Map(blobs.map((blob) => [blob.digest, Buffer.from(blob.payload())]));
  return { text, pack, record: JSON.parse(text) as Record<string, unknown> };
}

const user = pseudonymsOf().of('user', 'staff/alice');
const device = pseudonymsOf().of('device', 'laptop-17');

describe('a line with pseudonyms', () => {
  test('names neither the user nor the device nor what leads to them', () => {
    const { text, record } = written(allowedTrace());
    for (const name of ['alice', 'laptop-17', 'jti-1', '/api/reports', '127.0.0.1', '8d1e5f3a'])
      expect(text).not.toContain(name);
    expect(record).toMatchObject({
      user,
      device: { id: device, evidence: 'token_claim' },
      principal: `ZeroTrust::User::"${user}"`,
      action: 'ZeroTrust::Action::"GET"',
      token: { issuer: 'staff', state: 'valid', jti: pseudonymsOf().of('token', 'staff/jti-1') },
      pseudonyms: 3,
      source_identity: { spiffe_id: 'spiffe://prod.example.com/ns/frontend/sa/web' },
    });
    expect(record['token']).not.toHaveProperty('sub');
    expect(record['resource']).toMatch(/^ZeroTrust::Endpoint::"~[\w-]{22}"$/);
    for (const name of ['path', 'path_raw', 'request_id', 'context']) expect(record).not.toHaveProperty(name);
  });

  test('keeps the order of the fields, and adds which key it was', () => {
    const plain = Object.keys(JSON.parse(`{${recordParts(allowedTrace(), BASE).tail.slice(1)}`) as object);
    const own = Object.keys(written(allowedTrace()).record).filter((name) => plain.includes(name));
    expect(own).toEqual(plain.filter((name) => own.includes(name)));
    expect(Object.keys(written(allowedTrace()).record).slice(-2)).toEqual(['pseudonyms', 'withheld']);
  });

  test('of a hit withholds the path too, and of a refusal whatever is free text', () => {
    const hit = written(allowedTrace({ cache: { hit: true, of: 'd-1', ageMs: 1 } }));
    expect(hit.text).not.toMatch(/alice|reports\/quarterly/);
    const base = accessRequest('/users//alice');
    const request = { ...base, http: { ...base.http, method: 'ALICE', host: 'alice.example.com' } };
    const refused = written(refusedTrace({ request, requestId: 'alice', batch: 'b-1' }));
    expect(refused.text).not.toMatch(/alice|an empty segment/i);
    expect(refused.record).toMatchObject({ reason: 'path_ambiguous', batch: 'b-1' });
    expect([...refused.pack.values()].join()).toContain('"path_raw":"/users//alice"');
  });

  test('of evidence that was refused names whom it had proven by pseudonym', () => {
    const { identities } = allowedTrace();
    const decision = {
      verdict: 'deny',
      reason: 'device_assertion_invalid',
      policies: [],
      detail: 'of alice',
      evidence: 'sha256:x',
    } as const;
    const proven = { ...identities, tokenState: 'valid' } as const;
    const { record, text, pack } = written(refusedTrace({ decision, refused: { kind: 'device', proven } }));
    expect(record).toMatchObject({ user, evidence: pseudonymsOf().of('evidence', 'sha256:x') });
    expect(text).not.toContain('of alice');
    expect([...pack.values()].join()).toContain(`"subjects":${JSON.stringify([user, device].sort())}`);
  });

  test('says actors by pseudonym, and withholds names that anybody may have written', () => {
    const { identities } = allowedTrace();
    if (!identities?.user) throw new Error('no user');
    const actors = { ...identities.user, token: { ...identities.user.token, actors: ['staff/bob'] } };
    const trace = allowedTrace({
      identities: { ...identities, user: actors, claimedSources: ['spiffe://x/alice'] },
    });
    const { record, text } = written(trace);
    expect(record['token']).toMatchObject({ act: [pseudonymsOf().of('user', 'staff/bob')] });
    expect(text).not.toMatch(/bob|spiffe:\/\/x/);
  });

  test('hides the types that are configured, and only those', () => {
    const { cedar } = allowedTrace();
    if (!cedar) throw new Error('no question');
    const trace = allowedTrace({ cedar: { ...cedar, resource: { type: 'Clinic::Patient', id: 'p-17' } } });
    expect(written(trace).record['resource']).toBe('Clinic::Patient::"p-17"');
    const { record } = written(trace, { kinds: ['Clinic::Patient'] });
    expect(record['resource']).toBe(`Clinic::Patient::"${pseudonymsOf().of('Clinic::Patient', 'p-17')}"`);
    expect(record['user']).toBe('staff/alice');
  });

  test('never holds a member of which nobody has said that it names no one', () => {
    const marked = fc
      .string({ minLength: 12, maxLength: 40, unit: 'grapheme-ascii' })
      .map((text) => `secret-${text}`);
    fc.assert(
      fc.property(marked, (name) => {
        const id = `staff/${name}`;
        const base = allowedTrace();
        if (!base.identities?.user || !base.cedar) throw new Error('the fixture is not whole');
        const token = { ...base.identities.user.token, subject: name, tokenId: name };
        const trace = allowedTrace({
          requestId: name,
          canonical: { method: 'GET', path: `/${name}`, host: 'h' },
          identities: { ...base.identities, user: { id, token }, device: { id, evidence: 'assertion' } },
          cedar: { ...base.cedar, principal: { type: 'ZeroTrust::User', id }, context: { name } },
        });
        expect(written(trace).text).not.toContain('secret-');
      }),
    );
  });
});

describe('what a line with pseudonyms refers to', () => {
  test('is the question exactly as the engine got it', () => {
    const trace = allowedTrace();
    const { record, pack } = written(trace);
    if (!isDecision(record)) throw new Error('no decision');
    expect(questionOf(record, pack)).toEqual(trace.cedar);
  });

  test('is salted, so that nobody guesses it, and tagged with everyone whose data it holds', () => {
    const trace = allowedTrace();
    const [one, two] = [written(trace), written(trace)];
    for (const digest of [one.record['question'], one.record['withheld']])
      expect([...two.pack.keys()]).not.toContain(digest);
    const payloads = [...one.pack]
      .filter(([digest]) => !digest.startsWith('sha256:'))
      .map(([, payload]) => JSON.parse(payload.toString()));
    for (const payload of payloads)
      expect(payload).toMatchObject({ salt: expect.stringMatching(/^[\w-]{22}$/) });
    const subjectsOf = (match: object) =>
      payloads.find((payload) => JSON.stringify(payload).includes(JSON.stringify(match).slice(1, -1)))
        ?.subjects;
    expect(subjectsOf({ kind: 'question' })).toEqual([user, device].sort());
    expect(subjectsOf({ kind: 'withheld' })).toEqual([user, device].sort());
    expect(
      payloads.filter(({ kind, value }) => kind === 'entity' && value.uid.id === 'laptop-17')[0].subjects,
    ).toEqual([device]);
    expect(
      payloads.filter(({ kind, value }) => kind === 'entity' && value.uid.type === 'ZeroTrust::Workload')[0]
        .subjects,
    ).toEqual([]);
    // A path may name anybody.
    expect(
      payloads.filter(({ kind, value }) => kind === 'entity' && value.uid.type === 'ZeroTrust::Endpoint')[0]
        .subjects,
    ).toEqual([user, device].sort());
  });

  test('is tagged with users whom attributes, sets, tags and parents name', () => {
    const { cedar } = allowedTrace();
    if (!cedar) throw new Error('no question');
    const ref = (id: string) => ({ __entity: { type: 'ZeroTrust::User', id } });
    const entity = {
      uid: { type: 'App::Doc', id: 'd' },
      attrs: { owner: ref('s/a'), readers: [ref('s/b'), { deep: ref('s/c') }] },
      tags: { t: ref('s/d') },
      parents: [{ type: 'ZeroTrust::User', id: 's/e' }],
    };
    const { pack } = written(allowedTrace({ cedar: { ...cedar, entities: [entity] } }));
    const payload = [...pack.values()].map(String).find((text) => text.includes('App::Doc'));
    const expected = ['s/a', 's/b', 's/c', 's/d', 's/e'].map((id) => pseudonymsOf().of('user', id)).sort();
    expect(JSON.parse(payload ?? '{}')).toMatchObject({ subjects: expected });
  });
});

describe('a log with pseudonyms', () => {
  test('names nobody in its lines, stores each entity once for a segment, and replays', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir, { pseudonyms: pseudonymsOf() });
    const asked = ['alice', 'bob', 'alice', undefined, 'mallory'];
    for (const [i, user] of asked.entries())
      await log.ask({ ...(user !== undefined && { user }), path: `/reports/${user ?? 'public'}/${i % 2}` });
    await log.ask({ user: 'alice', path: '/reports/hold/1' });
    await log.ask({ user: 'alice', path: '/reports//alice' });
    expect(linesOf(dir)).not.toMatch(/alice|bob|mallory/);
    const users = packsOf(dir).match(/"uid":\{"type":"ZeroTrust::User","id":"demo\/alice"\}/g);
    expect(users).toHaveLength(1);
    const evaluated = decisions(dir).filter(({ record }) => Array.isArray(record['entities']));
    for (const at of evaluated) expect((await answerable(at)).principal.id).not.toMatch(/^~/);
    const report = await replayLog(dir, { httpStatus: httpStatusOf, engine: engineName() });
    expect(report.tally).toMatchObject({ match: 7, mismatch: 0, notReplayable: 0 });
  });

  test('salts anew in each segment', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir, { pseudonyms: pseudonymsOf() });
    await log.ask({ user: 'alice' });
    log.writer.rotate();
    await log.ask({ user: 'bob' });
    await log.ask({ user: 'alice', path: '/reports/q2' });
    const entities = decisions(dir).map(({ record }) => new Set(record['entities'] as string[]));
    const [first, , third] = entities;
    expect(first?.size).toBeGreaterThan(0);
    expect([...(first ?? [])].filter((digest) => third?.has(digest))).toEqual([]);
  });
});
