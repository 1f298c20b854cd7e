import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { App } from '../../../src/compose.ts';
import { eventually } from '../../support/eventually.ts';
import { type ConfigFolder, createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { RECEIVER, type TestTransmitter, startTransmitter } from '../../support/ssf-transmitter.ts';

const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
const AUTHORIZATION = 'Bearer push-canary-91c2e7';

let transmitter: TestTransmitter;
let folder: ConfigFolder;
let app: App;

beforeAll(async () => {
  transmitter = await startTransmitter();
  const secrets = await createConfigFolder();
  const authorization = join(secrets.path, 'authorization');
  await writeFile(authorization, `${AUTHORIZATION}\n`);
  const stream = {
    issuer: transmitter.issuer,
    audiences: [RECEIVER],
    jwks: { url: transmitter.jwksUrl },
    subjects: { user: 'demo' },
  };
  folder = await createConfigFolder({
    event_streams: [
      { ...stream, name: 'idp', delivery: { kind: 'push', authorization_file: authorization } },
      { ...stream, name: 'open', delivery: { kind: 'push' }, events: ['device-compliance-change'] },
    ],
  });
  app = await startTestApp(folder);
});

afterAll(async () => {
  await app.stop();
  await transmitter[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const urlOf = (stream: string): string => `http://${app.addresses.http}/events/${stream}`;
const alice = { format: 'opaque', id: 'alice' };

async function push(set: string, headers: Readonly<Record<string, string>> = {}, stream = 'idp') {
  return await transmitter.push(urlOf(stream), set, { authorization: AUTHORIZATION, ...headers });
}

describe('a SET that is pushed', () => {
  test('is answered with 202 and nothing more', async () => {
    const answer = await push(await transmitter.set(REVOKED, {}, alice));
    expect(answer.status).toBe(202);
    expect(await answer.text()).toBe('');
  });

  test('twice is answered alike', async () => {
    const set = await transmitter.set(REVOKED, {}, alice);
    expect([(await push(set)).status, (await push(set)).status]).toEqual([202, 202]);
  });

  test('and refused is answered as RFC 8935 says', async () => {
    const answer = await push(await transmitter.set(REVOKED, {}, alice, { aud: 'https://other' }));
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.headers.get('content-language')).toBe('en');
    expect(await answer.json()).toEqual({
      err: 'invalid_audience',
      description: 'aud does not name this receiver',
    });
  });

  test.each([
    ['none', undefined],
    ['another', 'Bearer somebody-else-altogether'],
    ['a shorter one', AUTHORIZATION.slice(0, -1)],
  ])('with %s for an authorization is refused', async (_what, authorization) => {
    const answer = await transmitter.push(
      urlOf('idp'),
      await transmitter.set(REVOKED, {}, alice),
      authorization === undefined ? {} : { authorization },
    );
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ err: 'authentication_failed' });
  });

  test('of a type that the stream may not send is refused', async () => {
    const answer = await push(await transmitter.set(REVOKED, {}, alice), {}, 'open');
    expect(await answer.json()).toMatchObject({ err: 'access_denied' });
  });

  test.each([
    ['of another type', { 'content-type': 'application/jwt' }, 'x', 415],
    ['that is JSON', { 'content-type': 'application/json' }, '{}', 415],
    ['that is too long', {}, 'x'.repeat(20_000), 413],
    ['that is empty', {}, '', 400],
    ['that is no SET', {}, 'x', 400],
  ])('%s is refused', async (_what, headers, body, status) => {
    expect((await push(body, headers)).status).toBe(status);
  });

  test('on a stream that is not configured is refused, also on one that has a name of JavaScript', async () => {
    const set = await transmitter.set(REVOKED, {}, alice);
    for (const stream of ['other', '__proto__', 'constructor'])
      expect((await push(set, {}, stream)).status).toBe(404);
  });
});

describe('what operators see of it', () => {
  test('is a counter by stream, type and outcome', async () => {
    await push(await transmitter.set('urn:x', {}, alice));
    const metrics = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
    expect(metrics).toMatch(
      /pdp_security_events_total\{stream="idp",event="session-revoked",outcome="applied"\} \d/,
    );
    expect(metrics).toMatch(
      /pdp_security_events_total\{stream="idp",event="unknown",outcome="unknown_event"\} 1/,
    );
    expect(metrics).toMatch(/pdp_event_stream_healthy\{stream="idp"\} 1/);
    expect(metrics).toMatch(/pdp_security_event_delay_seconds_count\{stream="idp"\} \d/);
  });

  test('is how it stands with each stream', async () => {
    const answer = await fetch(`http://${app.addresses.ops}/event-streams`);
    expect(await answer.json()).toMatchObject([
      { name: 'idp', delivery: 'push', issuer: transmitter.issuer, problems: [] },
      { name: 'open', problems: [] },
    ]);
    const status = await runPdp('events', 'status', '--ops', app.addresses.ops);
    expect(status).toMatchObject({ code: 0, err: '' });
    expect(status.out).toContain('idp: push from');
  });

  test('is a warning where the transmitter says that the stream is paused, and no end of readiness', async () => {
    const event = 'https://schemas.openid.net/secevent/ssf/event-type/stream-updated';
    await push(await transmitter.set(event, { status: 'paused' }, { format: 'opaque', id: 's' }));
    expect(
      await eventually('it warns', () => app.readiness().warnings?.find((text) => text.includes('paused'))),
    ).toBe("the event stream 'idp' is paused");
    expect(app.readiness().ready).toBe(true);
    expect(await runPdp('events', 'status', '--ops', app.addresses.ops)).toMatchObject({ code: 1 });
  });
});
