import { describe, expect, test } from 'vitest';
import { metadataUrl } from '../../../src/pip/ssf/transmitter-metadata.ts';
import { eventually } from '../../support/eventually.ts';
import { TRANSMITTER_TOKEN, startTransmitter } from '../../support/ssf-transmitter.ts';
import { openTestStream } from './fixture.ts';

const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
const COMPLIANCE = 'https://schemas.openid.net/secevent/caep/event-type/device-compliance-change';

const POLL = { method: 'poll', maxEvents: 5, intervalMs: 0, timeoutMs: 5000 } as const;
const MANAGED = {
  delivery: POLL,
  manage: true,
  verification: { intervalMs: 60_000, withinMs: 5000 },
} as const;

type Test = Awaited<ReturnType<typeof openTestStream>>;

async function warningOf({ stream }: Test, word: string): Promise<string> {
  return await eventually(`a warning about ${word}`, () =>
    stream.warnings().find((text) => text.includes(word)),
  );
}

describe('where metadata are', () => {
  test.each([
    ['https://tr.example.com', 'https://tr.example.com/.well-known/ssf-configuration'],
    ['https://tr.example.com/', 'https://tr.example.com/.well-known/ssf-configuration'],
    ['https://tr.example.com/issuer1', 'https://tr.example.com/.well-known/ssf-configuration/issuer1'],
    ['https://tr.example.com:8443/a/b/', 'https://tr.example.com:8443/.well-known/ssf-configuration/a/b'],
  ])('of %s is %s', (issuer, url) => {
    expect(metadataUrl(issuer)).toBe(url);
  });
});

describe('a stream that is managed', () => {
  test('is made, polled where its transmitter says, and verified', async () => {
    await using transmitter = await startTransmitter();
    await using test = await openTestStream(transmitter, { ...MANAGED, allowed: [REVOKED, COMPLIANCE] });
    test.stream.start();
    await eventually('it is verified', () => test.stream.report().verified_at);
    expect(transmitter.streams.get('stream-1')).toMatchObject({
      description: 'cedar-pdp idp-events',
      events_requested: [REVOKED, COMPLIANCE],
      delivery: { method: 'urn:ietf:rfc:8936' },
    });
    expect(test.stream.report()).toMatchObject({
      status: 'enabled',
      stream_id: 'stream-1',
      events_delivered: [REVOKED, COMPLIANCE],
      problems: [],
    });
    const subject = { format: 'iss_sub', iss: transmitter.issuer, sub: 'alice' };
    transmitter.enqueue('a', await transmitter.set(REVOKED, {}, subject, { jti: 'a' }));
    await eventually('an event has its effect', () => (test.applied.length > 0 ? true : undefined));
  });

  test('is found again by its description, and brought up to date', async () => {
    await using transmitter = await startTransmitter();
    for (const allowed of [[REVOKED], [REVOKED, COMPLIANCE]]) {
      await using test = await openTestStream(transmitter, { ...MANAGED, allowed });
      test.stream.start();
      await eventually('it is verified', () => test.stream.report().verified_at);
    }
    expect(transmitter.streams.size).toBe(1);
    expect(transmitter.streams.get('stream-1')).toMatchObject({ events_requested: [REVOKED, COMPLIANCE] });
    expect(transmitter.asked.filter(({ method }) => method === 'PATCH')).toMatchObject([
      { body: { stream_id: 'stream-1' } },
    ]);
  });

  test('tells a transmitter that pushes where, and with which authorization', async () => {
    await using transmitter = await startTransmitter();
    const delivery = {
      method: 'push',
      endpointUrl: 'https://pdp.example.com/events/idp-events',
      authorization: () => 'Bearer for-the-transmitter',
    } as const;
    await using test = await openTestStream(transmitter, {
      delivery,
      manage: true,
      verification: { intervalMs: 0, withinMs: 1000 },
    });
    test.stream.start();
    await eventually('it is made', () => test.stream.report().stream_id);
    expect(transmitter.streams.get('stream-1')?.['delivery']).toEqual({
      method: 'urn:ietf:rfc:8935',
      endpoint_url: delivery.endpointUrl,
      authorization_header: 'Bearer for-the-transmitter',
    });
  });

  test('sends its token to nothing that is public', async () => {
    await using transmitter = await startTransmitter();
    await using test = await openTestStream(transmitter, MANAGED);
    test.stream.start();
    await eventually('it is verified', () => test.stream.report().verified_at);
    const [open, closed] = [
      transmitter.asked.filter(isOpen),
      transmitter.asked.filter((one) => !isOpen(one)),
    ];
    expect(open.every(({ authorization }) => authorization === undefined)).toBe(true);
    expect(closed.every(({ authorization }) => authorization === `Bearer ${TRANSMITTER_TOKEN}`)).toBe(true);
    expect(test.log.text()).not.toContain('canary');
  });

  test.each([
    ['is another issuer', { issuer: 'https://other.example.com' }, 'another issuer'],
    ['is of a draft', { spec_version: '1_0-ID2' }, 'spec_version'],
    ['is of an unknown version', { spec_version: undefined }, 'spec_version'],
    ['has no keys', { jwks_uri: undefined }, 'jwks_uri'],
    ['has keys in plain sight', { jwks_uri: 'http://keys.example.com' }, 'not https'],
    ['has a password in a URL', { status_endpoint: 'https://u:p@x.example.com' }, 'credentials'],
    ['has no management', { configuration_endpoint: undefined }, 'configuration_endpoint'],
  ])('of a transmitter that %s is not set up, and says why', async (_what, metadata, word) => {
    await using transmitter = await startTransmitter();
    transmitter.metadata = metadata;
    await using test = await openTestStream(transmitter, MANAGED);
    test.stream.start();
    await warningOf(test, word);
    expect(transmitter.streams.size).toBe(0);
  });

  test.each([
    ['another issuer', { iss: 'https://other.example.com' }, 'issuer'],
    ['another audience', { aud: 'https://other.example.com' }, 'audiences'],
    ['no id', { stream_id: undefined }, 'stream_id'],
    ['another delivery', { delivery: { method: 'urn:ietf:rfc:8935' } }, 'not delivered by poll'],
    ['no events', { events_delivered: undefined }, 'events_delivered'],
  ])('whose configuration has %s is not used', async (_what, change, word) => {
    await using transmitter = await startTransmitter();
    const good = {
      stream_id: 's',
      iss: transmitter.issuer,
      aud: 'https://pdp.example.com/events',
      events_delivered: [],
      delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: transmitter.pollUrl },
    };
    transmitter.instead = ({ method, url }) =>
      method === 'POST' && url === '/stream'
        ? { status: 201, body: JSON.stringify({ ...good, ...change }) }
        : undefined;
    await using test = await openTestStream(transmitter, MANAGED);
    test.stream.start();
    await warningOf(test, word);
    expect(transmitter.asked.some(({ url }) => url === '/poll')).toBe(false);
  });

  test('is set up when the transmitter comes up, however late', async () => {
    await using transmitter = await startTransmitter();
    let isDown = true;
    transmitter.instead = () => (isDown ? { status: 503 } : undefined);
    await using test = await openTestStream(transmitter, MANAGED);
    test.stream.start();
    await warningOf(test, 'status 503');
    isDown = false;
    await eventually('it is verified', () => test.stream.report().verified_at);
    await eventually('nothing is amiss', () => (test.stream.warnings().length === 0 ? true : undefined));
  });

  test('discards events whose subject has a critical member that is not understood', async () => {
    await using transmitter = await startTransmitter();
    transmitter.metadata = { critical_subject_members: ['group'] };
    await using test = await openTestStream(transmitter, MANAGED);
    test.stream.start();
    await eventually('it is verified', () => test.stream.report().verified_at);
    const user = { format: 'iss_sub', iss: transmitter.issuer, sub: 'alice' };
    const subject = { format: 'complex', user, group: { format: 'opaque', id: 'g' } };
    transmitter.enqueue('a', await transmitter.set(REVOKED, {}, subject, { jti: 'a' }));
    await eventually('it is told', () => test.told.find(({ outcome }) => outcome === 'discarded'));
    expect(test.applied).toEqual([]);
  });
});

describe('verification', () => {
  test('that does not come in time is a warning, until one comes', async () => {
    await using transmitter = await startTransmitter();
    transmitter.verifies = false;
    await using test = await openTestStream(transmitter, {
      ...MANAGED,
      verification: { intervalMs: 200, withinMs: 100 },
    });
    test.stream.start();
    await warningOf(test, 'no verification event');
    transmitter.verifies = true;
    await eventually('nothing is amiss', () => (test.stream.warnings().length === 0 ? true : undefined));
    expect(test.stream.report().verified_at).toBeGreaterThan(0);
  });

  test('is not asked for more often than the transmitter wants, and 429 says nothing of the stream', async () => {
    await using transmitter = await startTransmitter();
    transmitter.instead = ({ url }) =>
      url === '/verify' ? { status: 429, headers: { 'retry-after': '60' } } : undefined;
    await using test = await openTestStream(transmitter, {
      ...MANAGED,
      verification: { intervalMs: 10, withinMs: 100 },
    });
    test.stream.start();
    await eventually('it was asked for', () => transmitter.asked.find(({ url }) => url === '/verify'));
    await eventually('it is polled', () => test.stream.report().last_poll_at);
    expect(transmitter.asked.filter(({ url }) => url === '/verify')).toHaveLength(1);
    expect(test.stream.warnings()).toEqual([]);
  });

  test('is not asked for while the stream is paused, which is a warning of its own', async () => {
    await using transmitter = await startTransmitter();
    transmitter.status = 'paused';
    await using test = await openTestStream(transmitter, MANAGED);
    test.stream.start();
    await warningOf(test, 'is paused');
    expect(transmitter.asked.some(({ url }) => url === '/verify')).toBe(false);
  });

  test('of a stream that somebody else has set up needs its id only', async () => {
    await using transmitter = await startTransmitter();
    await using first = await openTestStream(transmitter, MANAGED);
    first.stream.start();
    await eventually('it is made', () => first.stream.report().stream_id);
    await first.stream[Symbol.asyncDispose]();
    await using test = await openTestStream(transmitter, { ...MANAGED, manage: false, streamId: 'stream-1' });
    test.stream.start();
    await eventually('it is verified', () => test.stream.report().verified_at);
    expect(transmitter.streams.size).toBe(1);
  });
});

function isOpen({ url }: { readonly url: string }): boolean {
  return url === '/jwks' || url.startsWith('/.well-known/');
}
