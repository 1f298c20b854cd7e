import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { refuse } from '../../src/pdp/decision.ts';
import { createRefusedEvidenceLog } from '../../src/refused-evidence-log.ts';
import { PAYMENT_API } from '../support/requests.ts';
import { type Setup, setUp, userIdentity } from './pdp/decision-point.ts';

interface Line {
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

function logged(setup: Setup) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const lines: Line[] = [];
  const time = { at: 0, now: () => 0, monotonic: () => time.at };
  const log = {
    info: () => undefined,
    warn: (fields: object, message: string) => void lines.push({ fields: { ...fields }, message }),
    error: () => undefined,
  };
  const observer = createRefusedEvidenceLog({ clock: time, log });
  return { lines, time, observer, ...setUp({ ...setup, observer }) };
}

const TOKEN = refuse('token_audience_wrong', "audience 'x' is none of 'pdp'", { evidence: 'sha256:abc' });

describe('a refusal of evidence is told at warn', () => {
  test('in words, with what finds the record and the evidence again, and who sent it', async () => {
    const { lines, decide } = logged({ user: TOKEN });
    const { id } = await decide();
    expect(lines).toEqual([
      {
        message: "evidence of identity was refused: audience 'x' is none of 'pdp'",
        fields: {
          decision_id: id,
          surface: 'ext_authz',
          reason: 'token_audience_wrong',
          kind: 'token',
          cause: 'audience',
          evidence: 'sha256:abc',
          source: PAYMENT_API,
          pep: 'test',
        },
      },
    ]);
  });

  test.each([
    [
      'workload',
      { workload: { authenticate: () => refuse('workload_evidence_invalid', 'w', { cause: 'chain' }) } },
    ],
    ['token', { user: refuse('token_key_unknown', 't') }],
    ['device', { device: refuse('device_assertion_invalid', 'd', { cause: 'age' }) }],
  ] as const)('of a %s', async (kind, setup) => {
    const { lines, decide } = logged(setup);
    await decide();
    expect(lines).toMatchObject([{ fields: { kind } }]);
  });

  test('also of a caller that may not ask', async () => {
    const { lines, decide } = logged({});
    await decide(refuse('caller_not_allowed', 'spiffe://a/b is not on the allow list'));
    expect(lines).toMatchObject([
      {
        message: 'a caller was refused: spiffe://a/b is not on the allow list',
        fields: { kind: 'caller', cause: 'not_allowed' },
      },
    ]);
  });

  test('also where it could not be looked at for a fault of ours, which is no evidence problem', async () => {
    const { lines, decide } = logged({ user: () => Promise.reject(new Error('out of order')) });
    await decide();
    expect(lines).toMatchObject([{ fields: { reason: 'internal' } }]);
    expect(lines[0]?.fields).not.toHaveProperty('kind');
  });

  test('with text that is bounded', async () => {
    const { lines, decide } = logged({ user: refuse('token_malformed', 'x'.repeat(100_000)) });
    await decide();
    expect(lines[0]?.message.length).toBeLessThan(2100);
  });
});

test.each([
  ['a permit', {}, undefined],
  ['a deny by policies', { policies: '', user: userIdentity('alice') }, undefined],
  ['a question that is malformed', {}, refuse('request_malformed', 'x')],
] as const)('%s is no line', async (_what, setup, question) => {
  const { lines, decide } = logged(setup);
  await decide(question);
  expect(lines).toEqual([]);
});

describe('who sends bad evidence cannot fill the log', () => {
  test('there is one line a second for each reason and cause, with the number of those left out', async () => {
    const { lines, time, decide } = logged({ user: TOKEN });
    for (let sent = 0; sent < 5; sent += 1) await decide();
    expect(lines).toHaveLength(1);
    time.at = 1000;
    await decide();
    expect(lines).toHaveLength(2);
    expect(lines[1]?.fields).toMatchObject({ more_since_last_line: 4 });
  });

  test('another reason or cause is not left out for it', async () => {
    const causes = ['chain', 'expired', 'chain'] as const;
    let next = 0;
    const authenticate = () => refuse('workload_evidence_invalid', 'w', { cause: causes[next++] ?? 'chain' });
    const { lines, decide } = logged({ workload: { authenticate } });
    for (const _ of causes) await decide();
    expect(lines.map(({ fields }) => fields['cause'])).toEqual(['chain', 'expired']);
  });

  test('what was left out follows when its second is over, once', async () => {
    const { lines, time, decide } = logged({ user: TOKEN });
    for (let sent = 0; sent < 3; sent += 1) await decide();
    time.at = 1000;
    vi.advanceTimersByTime(1000);
    expect(lines).toHaveLength(2);
    expect(lines[1]?.fields).toMatchObject({ more_since_last_line: 1 });
    time.at = 5000;
    vi.advanceTimersByTime(4000);
    expect(lines).toHaveLength(2);
  });

  test('what was left out follows at the end at the latest', async () => {
    const { lines, observer, decide } = logged({ user: TOKEN });
    await decide();
    await decide();
    observer[Symbol.dispose]();
    expect(lines).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(0);
  });
});
