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
  report(user: string, options?: ReportOptions): RequestFrames;
  /** A token of a user with a device; each call mints one of its own. */
  token(user: string, device?: string): string;
  /** One workload calls another, without a user; default path that of the sample policies. */
  meshCall(path?: string): RequestFrames;
  /** The same two as CheckRequests with `headers` in place of `header_map`, as Envoy sends them by default. */
  plain(token: string): { readonly report: object; readonly mesh: object };
  /** Frames of a call with this CheckRequest. */
  framesOf(request: object): RequestFrames;
}

/** What differs from the usual report request. */
export interface ReportOptions {
  readonly path?: string;
  /** In place of a freshly minted one. */
  readonly token?: string;
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
  const mint = (user: string, device = 'laptop-1') => signedToken(privateKey, user, device, (serial += 1));
  return {
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'bench-1', alg: 'ES256', use: 'sig' }] },
    report: (user, { path = REPORT_PATH, token = mint(user) } = {}) => framesOf(reportRequest(token, path)),
    token: mint,
    meshCall: (path) => framesOf(meshRequest({ path })),
    plain: (token) => ({
      report: reportRequest(token, REPORT_PATH, false),
      mesh: meshRequest({ raw: false }),
    }),
    framesOf,
  };
}

function signedToken(key: KeyObject, user: string, device: string, serial: number): string {
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
    device_id: device,
  };
  const signed = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

const REPORT_PATH = '/api/reports/quarterly?year=2026';
const SPIFFE = 'spiffe://prod.example.com/ns';

/** What a browser behind an ingress sends. */
function reportRequest(jwt: string, path: string, raw = true): object {
  const headers = {
    ':method': 'GET',
    ':path': path,
    ':authority': 'reports.example.com',
    ':scheme': 'https',
    authorization: `Bearer ${jwt}`,
    accept: 'application/json, text/plain, */*',
    'accept-encoding': 'gzip, deflate, br',
    'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
    ...FORWARDED,
  };
  return checkRequest(`${SPIFFE}/finance/sa/dashboard-app`, `${SPIFFE}/finance/sa/reports-api`, headers, raw);
}

/** What a service in the mesh sends. */
function meshRequest({
  path = '/internal/entries',
  raw = true,
}: {
  path?: string | undefined;
  raw?: boolean;
}): object {
  const headers = {
    ':method': 'POST',
    ':path': path,
    ':authority': 'ledger-api.ledger',
    ':scheme': 'https',
    'content-type': 'application/json',
    'content-length': '231',
    'user-agent': 'payment-api/1.4',
    ...FORWARDED,
  };
  return checkRequest(`${SPIFFE}/payments/sa/payment-api`, `${SPIFFE}/ledger/sa/ledger-api`, headers, raw);
}

const FORWARDED = {
  'x-forwarded-for': '203.0.113.7',
  'x-forwarded-proto': 'https',
  'x-request-id': '8d1e5f3a-52b1-4a6d-9c3e-1f2e3d4c5b6a',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

/** A CheckRequest in Envoy's words; headers raw where Envoy has `encode_raw_headers`. */
function checkRequest(
  source: string,
  destination: string,
  headers: Readonly<Record<':method' | ':path' | ':authority', string>>,
  raw: boolean,
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
          ...(raw ? { headerMap: { headers: entries } } : { headers }),
        },
      },
      tlsSession: { sni: 'reports.example.com' },
    },
  };
}

function peer(address: string, port: number, principal: string): object {
  return { address: { socketAddress: { address, portValue: port } }, principal };
}
