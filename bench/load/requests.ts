import { type KeyObject, generateKeyPairSync, sign } from 'node:crypto';
import { loadExtAuthzTypes } from '../../src/api/protos.ts';
import { type RequestFrames, requestFrames } from './h2-connection.ts';

/** Path of the call. */
export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** The issuer whose tokens the requests carry. */
export const ISSUER = 'https://bench.cedar-pdp.invalid';
/** The audience of the tokens. */
export const AUDIENCE = 'cedar-pdp-bench';
/** The name that user ids of the issuer begin with. */
export const ISSUER_NAME = 'bench';

/** Makes requests as Envoy sends them. */
export interface RequestMaker {
  /** The issuer's public key set. */
  readonly jwks: object;
  /** A user reads a report through the finance dashboard: token, workload and device. Each call mints a token of its own. */
  report(user: string): RequestFrames;
  /** One workload calls another, without a user. */
  meshCall(): RequestFrames;
}

/** A maker with a fresh ES256 key. */
export function requestMaker(): RequestMaker {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { CheckRequest } = loadExtAuthzTypes();
  let serial = 0;
  const framesOf = (request: object) => {
    const message = CheckRequest.encode(CheckRequest.fromObject(request)).finish();
    return requestFrames(CHECK_PATH, Buffer.from(message));
  };
  return {
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'bench-1', alg: 'ES256', use: 'sig' }] },
    report: (user) => {
      serial += 1;
      return framesOf(reportRequest(token(privateKey, user, serial)));
    },
    meshCall: () => framesOf(meshRequest()),
  };
}

function token(key: KeyObject, user: string, serial: number): string {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: 'ES256', typ: 'at+jwt', kid: 'bench-1' };
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: user,
    iat: now,
    exp: now + 3600,
    jti: `bench-${serial}`,
    amr: ['pwd', 'mfa'],
    device_id: 'laptop-1',
  };
  const signed = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

const SPIFFE = 'spiffe://prod.example.com/ns';

/** What a browser behind an ingress sends. */
function reportRequest(jwt: string): object {
  const headers = {
    ':method': 'GET',
    ':path': '/api/reports/quarterly?year=2026',
    ':authority': 'reports.example.com',
    ':scheme': 'https',
    authorization: `Bearer ${jwt}`,
    accept: 'application/json, text/plain, */*',
    'accept-encoding': 'gzip, deflate, br',
    'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
    ...FORWARDED,
  };
  return checkRequest(`${SPIFFE}/finance/sa/dashboard-app`, `${SPIFFE}/finance/sa/reports-api`, headers);
}

/** What a service in the mesh sends. */
function meshRequest(): object {
  const headers = {
    ':method': 'POST',
    ':path': '/internal/entries',
    ':authority': 'ledger-api.ledger',
    ':scheme': 'https',
    'content-type': 'application/json',
    'content-length': '231',
    'user-agent': 'payment-api/1.4',
    ...FORWARDED,
  };
  return checkRequest(`${SPIFFE}/payments/sa/payment-api`, `${SPIFFE}/ledger/sa/ledger-api`, headers);
}

const FORWARDED = {
  'x-forwarded-for': '203.0.113.7',
  'x-forwarded-proto': 'https',
  'x-request-id': '8d1e5f3a-52b1-4a6d-9c3e-1f2e3d4c5b6a',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

/** A CheckRequest in Envoy's words, headers raw (`encode_raw_headers`). */
function checkRequest(
  source: string,
  destination: string,
  headers: Readonly<Record<':method' | ':path' | ':authority', string>>,
): object {
  const entries = Object.entries(headers).map(([key, value]) => ({ key, rawValue: Buffer.from(value) }));
  return {
    attributes: {
      source: peer('10.1.2.3', 40_000, source),
      destination: peer('10.9.9.9', 8443, destination),
      request: {
        http: {
          id: '1234567890123456789',
          method: headers[':method'],
          path: headers[':path'],
          host: headers[':authority'],
          scheme: 'https',
          protocol: 'HTTP/2',
          size: -1,
          headerMap: { headers: entries },
        },
      },
      tlsSession: { sni: 'reports.example.com' },
    },
  };
}

function peer(address: string, port: number, principal: string): object {
  return { address: { socketAddress: { address, portValue: port } }, principal };
}
