import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findEnvoy } from '../support/parts.ts';
import {
  type Call,
  type CallOutcome,
  DOMAIN,
  type Expected,
  type ScenarioMesh,
  expectCall,
  startScenarios,
} from './scenarios-mesh.ts';

const SETS = ['regulatory-workflow', 'db-reader', 'clinic'];

let mesh: ScenarioMesh;
beforeAll(async () => {
  if (findEnvoy() !== undefined) mesh = await startScenarios(SETS);
});
afterAll(() => mesh?.[Symbol.asyncDispose]());

const expectOutcome = (call: Call, expected: Expected): Promise<CallOutcome> =>
  expectCall(mesh, call, expected);
const permittedBy = (policy: string): Expected => ({ reason: 'permitted', policies: [policy] });
const forbiddenBy = (...policies: string[]): Expected => ({ reason: 'policy_forbids', policies });
const NO_PERMIT: Expected = { reason: 'no_permit' };

describe.skipIf(findEnvoy() === undefined)('scenario 2, the regulatory workflow, through Envoy', () => {
  const of = (name: string): string => `/ns/regulatory/sa/${name}`;
  const step = (from: string, to: string, path: string, method = 'POST'): Call => ({
    from: of(from),
    to: to.includes('.') ? to : `${to}.regulatory`,
    method,
    path,
  });

  test('the whole chain is served, step by step, and each step is in the log', async () => {
    const decide = step('case-api', 'decision-engine', '/decisions');
    const { record } = await expectOutcome(decide, permittedBy('regulatory.case-api-asks-for-decisions'));
    expect(record).toMatchObject({
      destination_identity: { spiffe_id: `${DOMAIN}${of('decision-engine')}` },
    });
    await expectOutcome(
      step('decision-engine', 'sanction-service', '/sanctions'),
      permittedBy('regulatory.decision-engine-orders-sanctions'),
    );
    await expectOutcome(
      step('sanction-service', 'notification-service', '/notifications'),
      permittedBy('regulatory.sanction-service-notifies'),
    );
    const sent = await expectOutcome(
      step('notification-service', 'api.mail.example.net', '/v3/messages'),
      permittedBy('regulatory.notification-service-sends-email'),
    );
    expect(sent.record).toBeDefined();
    expect(sent.record).not.toHaveProperty('destination_identity');
  });

  test.each(['GET', 'POST'])('case-api uses evidence by %s', async (method) => {
    await expectOutcome(
      step('case-api', 'evidence-store', '/cases/17/evidence', method),
      permittedBy('regulatory.case-api-uses-evidence'),
    );
  });

  test.each([
    ['case-api, which would skip the decision,', of('case-api')],
    ['evidence-store', of('evidence-store')],
    ['notification-service', of('notification-service')],
    ['the decision engine of another namespace', '/ns/other/sa/decision-engine'],
    ['a caller without a certificate', null],
  ])('%s orders no sanction, though the network lets it through', async (_who, from) => {
    const call = { from, to: 'sanction-service.regulatory', method: 'POST', path: '/sanctions' };
    const { message } = await expectOutcome(call, forbiddenBy('regulatory.only-decision-engine-sanctions'));
    expect(message).toBe('only the decision engine may call the sanction service');
  });

  test.each(['case-api', 'decision-engine', 'sanction-service'])(
    '%s does not leave for the email provider',
    async (who) => {
      const call = step(who, 'api.mail.example.net', '/v3/messages');
      const { message } = await expectOutcome(
        call,
        forbiddenBy('regulatory.only-notification-service-leaves'),
      );
      expect(message).toBe('only the notification service may leave for the email provider');
    },
  );

  test.each([
    [
      'the decision engine does nothing else at the sanction service',
      'decision-engine',
      'sanction-service',
      '/sanctions/1',
      'POST',
    ],
    [
      'the decision engine does not withdraw sanctions',
      'decision-engine',
      'sanction-service',
      '/sanctions',
      'DELETE',
    ],
    [
      'the decision engine does not look into evidence',
      'decision-engine',
      'evidence-store',
      '/cases/17/evidence',
      'GET',
    ],
    ['case-api notifies nobody itself', 'case-api', 'notification-service', '/notifications', 'POST'],
    ['case-api sees nothing but evidence in the store', 'case-api', 'evidence-store', '/cases/17', 'GET'],
    [
      'the notification service reads no mail',
      'notification-service',
      'api.mail.example.net',
      '/v3/messages',
      'GET',
    ],
    [
      'the notification service leaves for no other provider',
      'notification-service',
      'api.mail.example.org',
      '/v3/messages',
      'POST',
    ],
  ])('%s', async (_what, from, to, path, method) => {
    await expectOutcome(step(from, to, path, method), NO_PERMIT);
  });
});

describe.skipIf(findEnvoy() === undefined)('scenario 5, the database reader, through Envoy', () => {
  const PAYMENTS = '/ns/payments/sa/payments-api';
  const REFUNDS = '/ns/payments/sa/refunds-api';
  const callers = { sub: 'jo', groups: ['db-reader-callers'] };
  const read = (more: Partial<Call> = {}): Call => ({
    from: PAYMENTS,
    to: 'db-reader.data',
    path: '/v1/accounts/4711',
    ...more,
  });
  const jo = (): Promise<string> => mesh.issuers.staff.sign(callers);

  test('payments-api reads an account for a member of staff in the group', async () => {
    const call = read({ token: await jo() });
    const { record } = await expectOutcome(call, permittedBy('db-reader.callers-read-accounts'));
    expect(record).toMatchObject({
      user: 'staff/jo',
      destination_identity: { spiffe_id: `${DOMAIN}/ns/data/sa/db-reader` },
    });
  });
  test.each([
    ['another workload', REFUNDS],
    ['a caller without a certificate', null],
  ])('%s with the same user does not', async (_who, from) => {
    const call = read({ from, token: await jo() });
    const { message } = await expectOutcome(call, forbiddenBy('db-reader.only-payments-api'));
    expect(message).toBe('only payments-api may call db-reader');
  });
  test('payments-api without a user is asked for a token', async () => {
    const expected = { status: 401, reason: 'authentication_required', policies: ['db-reader.needs-a-user'] };
    const { challenge } = await expectOutcome(read(), expected);
    expect(challenge).toMatch(/^Bearer/);
  });
  test('another workload without a user is not: a token would not help it', async () => {
    const expected = forbiddenBy('db-reader.needs-a-user', 'db-reader.only-payments-api');
    const { challenge } = await expectOutcome(read({ from: REFUNDS }), expected);
    expect(challenge).toBeUndefined();
  });
  test('a user of the customers realm does not, whatever the groups are called there', async () => {
    const call = read({ token: await mesh.issuers.customers.sign(callers) });
    const expected = forbiddenBy('db-reader.only-its-callers', 'db-reader.only-the-staff-realm');
    const { record } = await expectOutcome(call, expected);
    expect(record).toMatchObject({ user: 'customers/jo' });
  });
  test('a member of staff outside of the group does not', async () => {
    const call = read({ token: await mesh.issuers.staff.sign({ ...callers, groups: ['staff'] }) });
    await expectOutcome(call, forbiddenBy('db-reader.only-its-callers'));
  });
  test('a token that another key of the same name has signed is no token of the realm', async () => {
    const [head, body] = (await jo()).split('.');
    const [, , signature] = (await mesh.issuers.customers.sign(callers)).split('.');
    const call = read({ token: `${head}.${body}.${signature}` });
    await expectOutcome(call, { status: 401, reason: 'token_signature_invalid' });
  });
  test.each([
    ['no writing', { method: 'DELETE' }],
    ['nothing but accounts', { path: '/v1/ledgers/7' }],
    ['not the list of them', { path: '/v1/accounts' }],
  ])('there is %s', async (_what, more) => {
    await expectOutcome(read({ token: await jo(), ...more }), NO_PERMIT);
  });
  test('a path does not climb out of the accounts', async () => {
    const call = read({ token: await jo(), path: '/v1/accounts/../ledgers/7' });
    await expectOutcome(call, { status: 400, reason: 'path_ambiguous' });
  });
});

describe.skipIf(findEnvoy() === undefined)('scenario 4, the clinic, through Envoy and its bindings', () => {
  const APP = '/ns/clinic/sa/appointments-app';
  const DOCTOR = { sub: 'grey', groups: ['doctors'], scope: ['appointments:read', 'appointments:write'] };
  const sign = (claims: object = {}): Promise<string> => mesh.issuers.clinic.sign({ ...DOCTOR, ...claims });
  const ask = (method: string, path: string, token?: string, from: string | null = APP): Call => ({
    from,
    to: 'appointments.clinic',
    method,
    path,
    ...(token !== undefined && { token }),
  });

  test.each([
    ['views an own appointment', 'GET', '/appointments/a-17', 'clinic.doctors-view-their-department', 'view'],
    [
      'views one of a colleague in the department',
      'GET',
      '/appointments/a-18',
      'clinic.doctors-view-their-department',
      'view',
    ],
    ['edits an own appointment', 'PUT', '/appointments/a-17', 'clinic.doctors-edit-their-own', 'edit'],
    [
      'creates an own appointment',
      'POST',
      '/doctors/grey/appointments',
      'clinic.doctors-create-their-own',
      'create',
    ],
  ])('a doctor of cardiology %s', async (_what, method, path, policy, action) => {
    const { record } = await expectOutcome(ask(method, path, await sign()), permittedBy(policy));
    expect(record).toMatchObject({ user: 'clinic/grey', action: `Clinic::Action::"${action}"` });
  });
  test.each([
    ['an appointment of another department', 'grey', 'GET', '/appointments/o-1'],
    ["another hospital's appointment of the same department", 'south', 'GET', '/appointments/a-17'],
    ['cardiology, as an oncologist', 'hahn', 'GET', '/appointments/a-17'],
    ['an appointment, as a doctor that the directory does not know', 'nobody', 'GET', '/appointments/a-17'],
    ['an appointment that the records do not know', 'grey', 'GET', '/appointments/x-1'],
    ["a colleague's appointment, to edit", 'grey', 'PUT', '/appointments/a-18'],
    ["a colleague's calendar, to create in", 'grey', 'POST', '/doctors/yang/appointments'],
    ['the list of all, which no binding knows', 'grey', 'GET', '/appointments'],
  ])('a doctor does not get %s', async (_what, sub, method, path) => {
    await expectOutcome(ask(method, path, await sign({ sub })), NO_PERMIT);
  });
  test('a nurse of the department does not view', async () => {
    const token = await sign({ groups: ['nurses'] });
    await expectOutcome(ask('GET', '/appointments/a-17', token), NO_PERMIT);
  });
  test.each([
    ['another app', '/ns/clinic/sa/billing-app'],
    ['a browser, without an app,', null],
  ])('%s does not get what the same doctor gets in the appointments app', async (_who, from) => {
    const call = ask('GET', '/appointments/a-17', await sign(), from);
    const { message } = await expectOutcome(call, forbiddenBy('clinic.only-the-app'));
    expect(message).toBe('the request does not come through the appointments app');
  });
  test.each([
    ['a malformed token', async () => 'a.b.c', 'token_malformed'],
    ['an expired token', () => sign({ iat: 1_700_000_000, exp: 1_700_000_300 }), 'token_expired'],
    ['a token for another service', () => sign({ aud: 'db-reader' }), 'token_audience_wrong'],
  ])('%s is a 401 that says so', async (_what, token, reason) => {
    const call = ask('GET', '/appointments/a-17', await token());
    const { challenge, record } = await expectOutcome(call, { status: 401, reason });
    expect(challenge).toMatch(/^Bearer .*error="invalid_token"/);
    expect(record).toBeDefined();
    expect(record).not.toHaveProperty('user');
  });
  test('no token is a 401 that asks for one', async () => {
    const expected = { status: 401, reason: 'authentication_required', policies: ['clinic.needs-a-user'] };
    const { challenge } = await expectOutcome(ask('GET', '/appointments/a-17'), expected);
    expect(challenge).toMatch(/^Bearer/);
    expect(challenge).not.toContain('invalid_token');
  });
  test.each([
    ['reading', 'GET', ['appointments:write'], 'clinic.scope-to-read'],
    ['writing', 'PUT', ['appointments:read'], 'clinic.scope-to-write'],
  ])('a token without the scope for %s is a 403', async (_what, method, scope, policy) => {
    const call = ask(method, '/appointments/a-17', await sign({ scope }));
    const { challenge } = await expectOutcome(call, forbiddenBy(policy));
    expect(challenge).toBeUndefined();
  });
  test('an encoded slash does not lead to another object', async () => {
    const call = ask('GET', '/appointments/a-17%2fadmin', await sign());
    await expectOutcome(call, { status: 400, reason: 'path_ambiguous' });
  });
});
