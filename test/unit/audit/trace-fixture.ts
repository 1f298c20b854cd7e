import { type RecordOptions, recordHead, recordParts } from '../../../src/audit/record/record.ts';
import type { AccessRequest } from '../../../src/pdp/access-request.ts';
import { HeaderFields } from '../../../src/pdp/header-fields.ts';
import type { PolicySnapshot } from '../../../src/pdp/policy-snapshot.ts';
import type { DecisionTrace } from '../../../src/pdp/trace.ts';

/** The whole line of a record, as the writer puts it together. */
export function recordLine(trace: DecisionTrace, options: RecordOptions, index = 0): string {
  return recordHead(options.log) + index + recordParts(trace, options).tail;
}

/** Marked text that stands for every secret of a request: no record may hold it. */
export const CANARY = 'canary-7f3a91';

const RECEIVED_AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

/** A request whose headers, cookie, query and body-like fields all carry {@link CANARY}. */
export function accessRequest(path = `/api/reports/quarterly?token=${CANARY}`): AccessRequest {
  return {
    source: {
      ip: '10.1.2.3',
      port: 40_000,
      principal: 'spiffe://prod.example.com/ns/frontend/sa/web',
      certificate: `-----BEGIN%20CERTIFICATE-----${CANARY}`,
      service: CANARY,
    },
    destination: { ip: '10.9.9.9', port: 8443, principal: '', certificate: '', service: CANARY },
    http: {
      method: 'GET',
      path,
      host: 'reports.example.com',
      scheme: 'https',
      protocol: 'HTTP/2',
      headers: new HeaderFields(
        [
          ['authorization', `Bearer ${CANARY}`],
          ['proxy-authorization', `Basic ${CANARY}`],
          ['cookie', `session=${CANARY}`],
          ['x-device-assertion', CANARY],
          [`x-${CANARY}`, CANARY],
        ],
        false,
      ),
      size: -1,
    },
    streamId: CANARY,
    sni: CANARY,
    contextExtensions: new Map([['key', CANARY]]),
    metadata: new Map([['envoy.filters.http.jwt_authn', { claim: CANARY }]]),
  };
}

/** Records know a snapshot by its digest alone. */
const SNAPSHOT = {
  digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
  texts: { policies: [], schemas: [], entities: [] },
} as Partial<PolicySnapshot> as PolicySnapshot;

const USER = { type: 'ZeroTrust::User', id: 'staff/alice' };
const DEVICE = { type: 'ZeroTrust::Device', id: 'laptop-17' };
const SOURCE = { type: 'ZeroTrust::Workload', id: 'spiffe://prod.example.com/ns/frontend/sa/web' };
const SERVICE = { type: 'ZeroTrust::Service', id: 'reports.example.com' };
const RESOURCE = { type: 'ZeroTrust::Endpoint', id: 'reports.example.com/api/reports/quarterly' };

const PEP = {
  id: 'spiffe://prod.example.com/ns/istio-system/sa/gateway',
  trustDomain: 'prod.example.com',
  path: '/ns/istio-system/sa/gateway',
  namespace: 'istio-system',
  serviceAccount: 'gateway',
};

/** A typical allowed check of the finance dashboard that went through every stage. */
export function allowedTrace(changes: Partial<DecisionTrace> = {}): DecisionTrace {
  return {
    id: '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a',
    surface: 'ext_authz',
    pep: { address: '127.0.0.1:50000', workload: PEP },
    receivedAt: RECEIVED_AT,
    startedAt: 1000.5,
    trace: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' },
    requestId: '8d1e5f3a-0000-4000-8000-000000000001',
    request: accessRequest(),
    canonical: { method: 'GET', path: '/api/reports/quarterly', host: 'reports.example.com' },
    identities: {
      source: {
        id: SOURCE.id,
        trustDomain: 'prod.example.com',
        path: '/ns/frontend/sa/web',
        namespace: 'frontend',
        serviceAccount: 'web',
        evidence: 'principal',
      },
      user: {
        id: USER.id,
        token: {
          issuer: 'staff',
          subject: 'alice',
          algorithm: 'ES256',
          keyId: 'key-1',
          tokenId: 'jti-1',
          audiences: ['reports'],
          issuedAt: 1_767_323_000,
          expiresAt: 1_767_326_600,
          claims: { department: 'Finance' },
          groups: ['finance'],
          deviceId: DEVICE.id,
        },
      },
      device: { id: DEVICE.id, evidence: 'token_claim' },
      tokenState: 'valid',
    },
    facts: [
      {
        source: 'directory',
        subject: 'user',
        gives: ['department'],
        subjectId: USER.id,
        status: 'found',
        attributes: { department: 'Finance' },
        groups: [],
        observedAt: RECEIVED_AT - 2000,
        freshUntil: RECEIVED_AT + 60_000,
      },
      {
        source: 'posture',
        subject: 'device',
        gives: ['managed'],
        subjectId: DEVICE.id,
        status: 'found',
        attributes: { managed: true },
        groups: [],
        observedAt: RECEIVED_AT - 5000,
        freshUntil: RECEIVED_AT + 60_000,
      },
    ],
    omissions: [],
    snapshot: SNAPSHOT,
    cedar: {
      principal: USER,
      action: { type: 'ZeroTrust::Action', id: 'GET' },
      resource: RESOURCE,
      context: {
        now: { __extn: { fn: 'datetime', arg: '2026-01-02T03:04:05.678Z' } },
        user: { __entity: USER },
        device: { __entity: DEVICE },
        source: { __entity: SOURCE },
        mfa: true,
      },
      entities: [
        {
          uid: USER,
          attrs: { department: 'Finance' },
          parents: [{ type: 'ZeroTrust::Group', id: 'finance' }],
        },
        { uid: DEVICE, attrs: { managed: true, compliant: true, disk_encrypted: true }, parents: [] },
        { uid: SOURCE, attrs: { namespace: 'frontend' }, parents: [] },
        { uid: RESOURCE, attrs: { path: '/api/reports/quarterly' }, parents: [SERVICE] },
      ],
    },
    inputsValidUntil: RECEIVED_AT + 55_000,
    evaluation: { verdict: 'permit', policies: ['reports-read'], errors: [] },
    cache: { hit: false },
    decision: {
      verdict: 'permit',
      reason: 'permitted',
      policies: ['reports-read'],
      snapshot: SNAPSHOT.digest,
    },
    stage: 'conclude',
    timings: { decode: 12, evaluate: 180 },
    latencyUs: 412.6,
    ...changes,
  };
}

/** A check that was refused before anybody was authenticated. */
export function refusedTrace(changes: Partial<DecisionTrace> = {}): DecisionTrace {
  return {
    id: '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6b',
    surface: 'ext_authz',
    pep: { address: '127.0.0.1:50000' },
    receivedAt: RECEIVED_AT,
    startedAt: 1000.5,
    request: accessRequest(`/a//b?token=${CANARY}`),
    decision: {
      verdict: 'deny',
      reason: 'path_ambiguous',
      policies: [],
      detail: "the path holds an empty segment '//'",
    },
    stage: 'decode',
    timings: {},
    latencyUs: 31,
    ...changes,
  };
}
