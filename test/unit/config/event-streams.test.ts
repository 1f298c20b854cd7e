import { describe, expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';

const STREAM = {
  name: 'idp',
  issuer: 'https://idp.example.com',
  audiences: ['pdp'],
  delivery: { kind: 'push' },
};

function problems(...streams: readonly object[]): readonly string[] {
  const config = { grpc: { plaintext: true }, policies: { sets: ['p'] }, event_streams: streams };
  const { error } = ConfigSchema.safeParse(config);
  return (error?.issues ?? []).map(({ path, message }) => `${path.slice(1).join('.')}: ${message}`);
}

describe('a stream', () => {
  test('needs a name, an issuer, an audience and a delivery', () => {
    expect(problems(STREAM)).toEqual([]);
  });

  test.each([
    ['without an audience', { audiences: [] }, '0.audiences: name at least one'],
    ['of an issuer in plain sight', { issuer: 'http://idp.example.com' }, '0.issuer: is not https'],
    ['without algorithms', { algorithms: [] }, '0.algorithms: name at least one'],
    ['with an algorithm that anybody can use', { algorithms: ['HS256'] }, '0.algorithms.0'],
    ['with events that are none', { events: ['device-gone'] }, '0.events.0'],
    ['that may send nothing', { events: [] }, '0.events'],
    ['with a certificate without a key', { transmitter: { cert_file: 'c' } }, '0.transmitter.key_file'],
    ['with a key without a certificate', { transmitter: { key_file: 'k' } }, '0.transmitter.cert_file'],
    [
      'that is managed, and does not say where to push',
      { transmitter: { manage: true } },
      '0.delivery.endpoint_url',
    ],
    [
      'that says where to push, to nobody',
      { delivery: { kind: 'push', endpoint_url: 'https://x' } },
      '0.delivery.endpoint_url',
    ],
    ['that is polled nowhere', { delivery: { kind: 'poll' } }, '0.delivery.endpoint_url'],
    [
      'that is polled in plain sight',
      { delivery: { kind: 'poll', endpoint_url: 'http://x' } },
      'is not https',
    ],
    ['with keys in plain sight', { jwks: { url: 'http://x' } }, '0.jwks'],
  ])('%s is refused', (_what, change, problem) => {
    expect(problems({ ...STREAM, ...change }).join('\n')).toContain(problem);
  });

  test('that is polled where its transmitter says needs its management, or its id', () => {
    const delivery = { kind: 'poll' };
    expect(problems({ ...STREAM, delivery, transmitter: { manage: true } })).toEqual([]);
    expect(problems({ ...STREAM, delivery, transmitter: { stream_id: 's' } })).toEqual([]);
  });

  test('has a name of its own, which is not that of administrators', () => {
    expect(problems(STREAM, STREAM)).toEqual(["1.name: 'idp' is taken already"]);
    expect(problems({ ...STREAM, name: 'admin' })).toEqual(["0.name: 'admin' is taken already"]);
  });
});
