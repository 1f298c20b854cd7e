import { createECDH, createHash, createPrivateKey, sign } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { createDpopCheck, replayWindowMs } from '../../../src/pip/dpop/dpop.ts';
import { createMemoryReplayStore } from '../../../src/pip/dpop/replay-store.ts';
import { START, manualClock, memoryLog, receivedOf, requestWith } from '../../unit/pip/fixture.ts';
import { type FuzzTarget, bytesOf, latin1, must } from '../engine/target.ts';

const TOKEN = 'header.payload.signature';
const ATH = createHash('sha256').update(TOKEN).digest('base64url');
const NOW_S = START / 1000;
const MAX_AGE_S = 60;
const SKEW_S = 5;
const HTU = 'https://api.example.com/accounts/1';

/** DPoP proofs. Two lines are taken for header and payload, and signed with the key of the token; one line is the proof itself. */
export async function dpopTarget(): Promise<FuzzTarget> {
  const { jwk, privateKey } = keyOf(Buffer.alloc(32, 7));
  const thumbprint = await calculateJwkThumbprint(jwk);
  const header = JSON.stringify({ typ: 'dpop+jwt', alg: 'ES256', jwk });
  const claims = JSON.stringify({ jti: 'a', htm: 'GET', htu: HTU, iat: NOW_S, ath: ATH });
  const proofOf = (lines: readonly string[]): string => {
    const [first = '', ...rest] = lines;
    if (rest.length === 0) return first;
    const signed = [first, rest.join('\n')]
      .map((part) => Buffer.from(part, 'latin1').toString('base64url'))
      .join('.');
    return `${signed}.${sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  };
  return {
    name: 'dpop',
    promise:
      'A proof is accepted once, and only if it is for this method, this address, this token, this key and now.',
    covers: [
      'dpop/dpop.ts',
      'dpop/dpop-key.ts',
      'dpop/dpop-target.ts',
      'dpop/replay-store.ts',
      'token/compact-jws.ts',
      'token/token-signature.ts',
    ].map((name) => `src/pip/${name}`),
    seeds: [
      `${header}\n${claims}`,
      `${header}\n${claims.replace('accounts/1', 'accounts/%31?a#b').replace('https', 'HTTPS')}`,
      `{"typ":"application/dpop+jwt","alg":"none","jwk":{"kty":"oct","k":"AA"}}\n${claims}`,
      'a.b.c',
    ].map(bytesOf),
    dictionary: [
      '"jti":"b"',
      '"htm":"POST"',
      '"htu":',
      HTU,
      '"iat":0',
      '"ath":""',
      '"jwk":',
      '"d":"AA"',
      '"alg":"HS256"',
      '"typ":"JWT"',
      '"crit":[]',
      '%2f',
      '/../',
      '?',
      '#',
      '@',
      ':443',
      '\n',
      'https://',
      '{}',
    ],
    maxBytes: 2048,
    async run(input) {
      const proof = proofOf(latin1(input).split('\n'));
      const clock = manualClock();
      const check = createDpopCheck({
        origins: new Map([['api.example.com', ['https://api.example.com']]]),
        algorithms: ['ES256'],
        maxAgeSeconds: MAX_AGE_S,
        skewSeconds: SKEW_S,
        replays: createMemoryReplayStore({
          clock,
          windowMs: replayWindowMs(MAX_AGE_S, SKEW_S),
          maxEntries: 10,
          maxPerOwner: 10,
          log: memoryLog(),
        }),
      });
      const question = receivedOf(requestWith({ headers: [['dpop', proof]] }), START);
      const received = {
        ...question,
        canonical: { method: 'GET', path: '/accounts/1', host: 'api.example.com' },
      };
      const refusal = await check(received, TOKEN, thumbprint);
      if (refusal) return (refusal.detail ?? '').replace(/'[^']*'$|: .*|\d+/g, '').slice(0, 80);
      mustBeRight(proof);
      must((await check(received, TOKEN, thumbprint)) !== undefined, 'a proof is accepted twice');
      return 'accepted';
    },
  };
}

function mustBeRight(proof: string): void {
  const [head = '', body = ''] = proof.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  const { typ, alg } = JSON.parse(head) as Record<string, unknown>;
  const { htm, htu, iat, ath, jti } = JSON.parse(body) as Record<string, unknown>;
  must(
    typeof typ === 'string' && /^(?:application\/)?dpop\+jwt$/i.test(typ) && alg === 'ES256',
    'the header is not that of a proof',
  );
  must(
    htm === 'GET' && ath === ATH && typeof jti === 'string' && jti !== '',
    'the claims are those of another request',
  );
  must(typeof iat === 'number' && Math.abs(iat - NOW_S) <= MAX_AGE_S + SKEW_S, 'the proof is not of now');
  const url = new URL(String(htu));
  must(
    url.origin === 'https://api.example.com' && decodeURIComponent(url.pathname) === '/accounts/1',
    `'${String(htu)}' is elsewhere`,
  );
  must(url.username === '' && url.password === '', 'the address holds a user');
}

/** A key pair that is always the same. */
function keyOf(secret: Buffer) {
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(secret);
  const point = curve.getPublicKey();
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: point.toString('base64url', 1, 33),
    y: point.toString('base64url', 33),
  };
  return {
    jwk,
    privateKey: createPrivateKey({ key: { ...jwk, d: secret.toString('base64url') }, format: 'jwk' }),
  };
}
