import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ocsfEvent } from '../../../../src/audit/export/ocsf.ts';
import { type DecisionRecord, isDecision, parseRecord } from '../../../../src/audit/read/decision-record.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { tempDir } from '../log-fixture.ts';

const RECORD: DecisionRecord = {
  v: 1,
  kind: 'decision',
  log: 'example.com/pdp/test',
  index: 7,
  decision_id: 'd-7',
  timestamp: '2026-01-02T00:00:00.000Z',
  decision: 'DENY',
  enforced: true,
  reason: 'forbidden',
  message: 'on legal hold',
  policies: ['reports.hold', 'reports.other'],
  stage: 'cedar',
  surface: 'ext_authz',
  source_identity: {
    spiffe_id: 'spiffe://prod.example.com/ns/payments/sa/payment-api',
    service_account: 'payment-api',
  },
  destination_identity: { spiffe_id: 'spiffe://prod.example.com/ns/ledger/sa/ledger-api' },
  method: 'DELETE',
  path: '/reports/q1',
  host: 'ledger.example.com:8443',
  user: 'demo/alice',
  token: { issuer: 'https://idp.example.com', sub: 'alice' },
  action: 'ZeroTrust::Action::"DELETE"',
  resource: 'ZeroTrust::Endpoint::"/reports/q1"',
  snapshot: 'sha256:00',
  http_status: 403,
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  request_id: 'r-1',
  pep: { address: '127.0.0.1:1' },
  latency_us: 80,
};

type Event = ReturnType<typeof ocsfEvent>;

const member = (event: Event, name: string) => event[name] as Record<string, unknown>;

/** What OCSF 1.8.0 requires of API Activity, its objects and the profile security_control, and which values it has for the ids. */
function violations(event: Event): string[] {
  const wrong: string[] = [];
  const check = (right: boolean, what: string) => void (right || wrong.push(what));
  for (const name of [
    'activity_id',
    'category_uid',
    'class_uid',
    'type_uid',
    'severity_id',
    'time',
    'metadata',
    'actor',
    'api',
    'src_endpoint',
  ])
    check(event[name] !== undefined, `${name} is required`);
  check(event['category_uid'] === 6 && event['class_uid'] === 6003, 'the class is API Activity');
  check([1, 2, 3, 4, 99].includes(Number(event['activity_id'])), 'activity_id');
  check(event['type_uid'] === 6003 * 100 + Number(event['activity_id']), 'type_uid');
  check(Number.isSafeInteger(event['time']) && Number(event['time']) > 1e12, 'time is in ms');
  check([0, 1, 2, 3, 4, 5, 6, 99].includes(Number(event['severity_id'])), 'severity_id');
  check([0, 1, 2, 99].includes(Number(event['status_id'])), 'status_id');
  check([0, 1, 2, 3, 4, 99].includes(Number(event['action_id'])), 'action_id');
  check([1, 2, 17].includes(Number(event['disposition_id'])), 'disposition_id');
  const oneOf = (object: Record<string, unknown> | undefined, names: readonly string[], what: string) =>
    check(object === undefined || names.some((name) => object[name] !== undefined), what);
  oneOf(member(event, 'actor'), ['process', 'user', 'invoked_by', 'session', 'app_name', 'app_uid'], 'actor');
  oneOf(member(event, 'actor')['user'] as Record<string, unknown>, ['account', 'name', 'uid'], 'actor.user');
  const endpoint = [
    'ip',
    'uid',
    'name',
    'hostname',
    'svc_name',
    'instance_uid',
    'interface_uid',
    'interface_name',
  ];
  oneOf(member(event, 'src_endpoint'), endpoint, 'src_endpoint');
  oneOf(member(event, 'dst_endpoint'), endpoint, 'dst_endpoint');
  oneOf(member(event, 'policy'), ['name', 'uid'], 'policy');
  check(typeof member(event, 'api')['operation'] === 'string', 'api.operation');
  check(
    typeof (member(event, 'api')['request'] as Record<string, unknown>)['uid'] === 'string',
    'api.request.uid',
  );
  const { version, product } = member(event, 'metadata') as {
    version?: unknown;
    product?: { name?: unknown };
  };
  check(version === '1.8.0' && typeof product?.name === 'string', 'metadata');
  return wrong;
}

describe('an OCSF event of a decision', () => {
  it('is an API Activity that was denied, with who asked what, and by which policies', () => {
    const event = ocsfEvent(RECORD);
    expect(violations(event)).toEqual([]);
    expect(event).toMatchObject({
      class_uid: 6003,
      activity_id: 4,
      type_uid: 600_304,
      time: Date.UTC(2026, 0, 2),
      severity_id: 2,
      status_id: 2,
      status_code: 'forbidden',
      message: 'on legal hold',
      action_id: 2,
      disposition_id: 2,
      actor: {
        user: { uid: 'demo/alice', domain: 'https://idp.example.com' },
        app_uid: 'spiffe://prod.example.com/ns/payments/sa/payment-api',
        app_name: 'payment-api',
      },
      api: {
        operation: 'ZeroTrust::Action::"DELETE"',
        request: { uid: 'r-1' },
        response: { code: 403, error: 'forbidden' },
      },
      src_endpoint: { svc_name: 'spiffe://prod.example.com/ns/payments/sa/payment-api' },
      dst_endpoint: {
        svc_name: 'spiffe://prod.example.com/ns/ledger/sa/ledger-api',
        hostname: 'ledger.example.com',
        port: 8443,
      },
      http_request: {
        http_method: 'DELETE',
        url: { hostname: 'ledger.example.com', path: '/reports/q1' },
        uid: 'r-1',
      },
      http_response: { code: 403 },
      resources: [{ uid: 'ZeroTrust::Endpoint::"/reports/q1"', type: 'ZeroTrust::Endpoint' }],
      policy: { uid: 'reports.hold', version: 'sha256:00', is_applied: true },
      authorizations: [
        { decision: 'Denied', policy: { uid: 'reports.hold' } },
        { decision: 'Denied', policy: { uid: 'reports.other' } },
      ],
      trace: { uid: '4bf92f3577b34da6a3ce929d0e0e4736' },
      metadata: {
        version: '1.8.0',
        profiles: ['security_control', 'trace'],
        uid: 'd-7',
        log_name: 'example.com/pdp/test',
        sequence: 7,
      },
      unmapped: { stage: 'cedar', latency_us: 80, pep: { address: '127.0.0.1:1' } },
    });
  });

  it('of an allowed one is informational; of one that nobody acts on it is observed, and its policies are not applied', () => {
    const allowed = ocsfEvent({ ...RECORD, decision: 'ALLOW', method: 'POST' });
    expect(allowed).toMatchObject({
      activity_id: 1,
      severity_id: 1,
      action_id: 1,
      disposition_id: 1,
      status_id: 1,
    });
    for (const shadow of [{ enforced: false }, { shadow_of: 'd-6' }, { explained: true }])
      expect(ocsfEvent({ ...RECORD, ...shadow })).toMatchObject({
        action_id: 3,
        disposition_id: 17,
        authorizations: [{ policy: { is_applied: false } }, {}],
      });
    expect(ocsfEvent({ ...RECORD, cause: 'token_expired' })).toMatchObject({ severity_id: 3 });
  });

  it('has all that is required also where nearly nothing is known', () => {
    const { v, kind, log, index, decision_id, timestamp, decision, reason, stage } = RECORD;
    const bare: DecisionRecord = {
      v,
      kind,
      log,
      index,
      decision_id,
      timestamp,
      decision,
      reason,
      stage,
      policies: [],
    };
    expect(violations(ocsfEvent(bare))).toEqual([]);
    expect(ocsfEvent(bare)).toMatchObject({
      activity_id: 99,
      actor: { user: { name: 'anonymous' } },
      authorizations: [{ decision: 'Denied' }],
    });
  });

  it('is made of every decision that the PDP records', async () => {
    const dir = tempDir();
    const log = await openDecisionLog(dir);
    for (const user of ['alice', 'alice', 'carol']) await log.ask({ user });
    await log.ask({ method: 'BREW', path: '/a/../b' });
    await log[Symbol.asyncDispose]();
    const [name = ''] = readdirSync(dir).filter((each) => each.endsWith('.ndjson'));
    const lines = readFileSync(join(dir, name), 'utf8').trimEnd().split('\n');
    const decisions = lines.flatMap((line) => {
      const record = parseRecord(line);
      return record && isDecision(record) ? [record] : [];
    });
    expect(decisions).toHaveLength(4);
    for (const decision of decisions) expect(violations(ocsfEvent(decision))).toEqual([]);
  });
});
