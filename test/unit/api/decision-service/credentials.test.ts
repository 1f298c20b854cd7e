import { beforeAll, expect, test } from 'vitest';
import { createQuestionReader } from '../../../../src/api/question/question-reader.ts';
import { evidenceOf } from '../../../../src/pdp/asked-evidence.ts';
import { isRefusal } from '../../../../src/pdp/decision.ts';
import { createIssuer } from '../../../../src/pip/token/issuer.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { createUserAuthenticator } from '../../../../src/pip/token/user-token.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock } from '../../pip/fixture.ts';

const AUDIENCE = 'https://api.example.com';
const read = createQuestionReader({
  namespace: 'Shop',
  pipSubjects: new Map(),
  assertionHeader: 'x-device-assertion',
  parseSpiffeId: () => undefined,
});
let staff: TestIssuer;
beforeAll(async () => {
  staff = await createTestIssuer({ issuer: 'https://id.example.com', audience: AUDIENCE, now: () => START });
});

/** What the authenticator of the mesh makes of the token of a question. */
async function authenticated(token: string) {
  const asked = read({
    subject: { type: '', id: '', token, deviceAssertion: '' },
    action: { name: 'view' },
    resource: { type: 'Order', id: '1' },
  });
  if (isRefusal(asked)) throw new Error(asked.detail);
  const issuer = createIssuer({
    name: 'staff',
    issuer: staff.issuer,
    use: 'user',
    audiences: [AUDIENCE],
    algorithms: ['ES256'],
    types: ['at+jwt'],
  });
  const verifier = createTokenVerifier(
    [issuer],
    new Map([['staff', keySetOf('staff', staff)]]),
    manualClock(),
  );
  const envelope = {
    id: 'x',
    surface: 'check' as const,
    pep: { address: 'test' },
    receivedAt: START,
    startedAt: 0,
  };
  return createUserAuthenticator({ verifier, issuers: [issuer] }).authenticate(
    evidenceOf({ ...envelope, asked }),
    {},
  );
}

test('the token of a question is verified as in the mesh', async () => {
  expect(await authenticated(await staff.sign())).toMatchObject({ id: 'staff/alice' });
  expect(await authenticated(await staff.sign({ exp: START / 1000 - 600 }))).toMatchObject({
    refusal: 'token_expired',
  });
  expect(await authenticated(await staff.sign({ aud: 'somebody else' }))).toMatchObject({
    refusal: 'token_audience_wrong',
  });
});

test.each([
  ['a key', { jkt: 'a'.repeat(43) }],
  ['a certificate', { 'x5t#S256': 'a'.repeat(43) }],
])(
  'a token that is bound to %s of its sender is refused: nobody here can prove to be that',
  async (_what, cnf) => {
    expect(await authenticated(await staff.sign({ cnf }))).toHaveProperty('refusal');
  },
);

test.each(['a.b.c, d.e.f', 'a b', ''.padEnd(9, ' ')])('%j is no token', async (token) => {
  expect(await authenticated(token)).toHaveProperty('refusal');
});
