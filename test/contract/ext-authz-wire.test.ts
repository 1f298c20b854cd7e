// The wire of Envoy's external authorization v3, pinned by field number: read with a reader of our own, not with our proto files.
import { describe, expect, test } from 'vitest';
import { decodeCheckRequest } from '../../src/api/ext-authz/decode.ts';
import { createEncoder } from '../../src/api/ext-authz/encode.ts';
import { loadExtAuthzTypes } from '../../src/api/protos.ts';
import { STATUS } from '../../src/api/status.ts';
import { DENY_REASONS, type Decision, type Deny, denyFor, refuse } from '../../src/pdp/decision.ts';

const types = loadExtAuthzTypes();

/** Fields of a protobuf message by number: numbers for varints, bytes for the rest. */
type Fields = Map<number, (number | Buffer)[]>;

function readMessage(bytes: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('cut message');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => bytes.subarray(at, (at += length));
  while (at < bytes.length) {
    const tag = varint();
    const value = [varint, () => take(8), () => take(varint())][tag & 7]?.();
    if (value === undefined) throw new Error(`wire type ${tag & 7}`);
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
}

const messages = (fields: Fields, number: number) =>
  (fields.get(number) ?? []).map((value) => readMessage(value as Buffer));
const message = (fields: Fields, number: number) => messages(fields, number)[0] ?? new Map<number, never[]>();
const text = (fields: Fields, number: number) => String(fields.get(number)?.[0] ?? '');
const numberAt = (fields: Fields, number: number) => (fields.get(number)?.[0] ?? 0) as number;

const encoder = (faultsAsError = false) =>
  createEncoder(types.CheckResponse, { realm: 'cedar-pdp', faultsAsError });
const answer = (decision: Decision, faultsAsError?: boolean) =>
  readMessage(encoder(faultsAsError)('0193a5b0-0000-7000-8000-000000000000', decision));

/** HeaderValueOption: header=1 {key=1, value=2}, append=2 {value=1}, append_action=3. */
function headers(options: readonly Fields[]) {
  return options.map((option) => {
    expect(option.has(2)).toBe(true);
    expect(numberAt(message(option, 2), 1)).toBe(0);
    expect(numberAt(option, 3)).toBe(2);
    const header = message(option, 1);
    return [text(header, 1), text(header, 2)] as const;
  });
}

const PERMIT: Decision = {
  verdict: 'permit',
  reason: 'permitted',
  policies: ['b', 'a'],
  snapshot: 'sha256:1',
  cacheableUntil: 1234,
};

describe('a permit', () => {
  test('is status code 0 with ok_response=3, and nothing else of the three responses', () => {
    const fields = answer(PERMIT);
    expect(numberAt(message(fields, 1), 1)).toBe(0);
    expect(fields.has(1)).toBe(true);
    expect(fields.has(2)).toBe(false);
    expect(fields.has(3)).toBe(true);
    expect(fields.has(5)).toBe(false);
  });

  test('overwrites our header and removes its twins with underscores', () => {
    const ok = message(answer(PERMIT), 3);
    expect(headers(messages(ok, 2))).toEqual([['x-pdp-decision-id', '0193a5b0-0000-7000-8000-000000000000']]);
    const removed = (ok.get(5) ?? []).map(String);
    expect(removed).toHaveLength(7);
    expect(new Set(removed).size).toBe(7);
    for (const name of removed) expect(name.replaceAll('_', '-')).toBe('x-pdp-decision-id');
    expect(removed).not.toContain('x-pdp-decision-id');
  });

  test('has dynamic_metadata=4 as a Struct', () => {
    const struct = message(answer(PERMIT), 4);
    const entries = messages(struct, 1).map((entry) => [text(entry, 1), message(entry, 2)] as const);
    expect(entries.map(([name]) => name)).toEqual([
      'decision_id',
      'decision',
      'reason',
      'policies',
      'snapshot',
      'cacheable_until',
    ]);
    const values = new Map(entries);
    const value = (name: string) => values.get(name) ?? new Map<number, never[]>();
    expect(text(value('decision'), 3)).toBe('ALLOW');
    expect(messages(message(value('policies'), 6), 1).map((item) => text(item, 3))).toEqual(['b', 'a']);
    expect(Buffer.from((value('cacheable_until').get(2)?.[0] ?? '') as Buffer).readDoubleLE()).toBe(1234);
  });

  test('is written for the verdict permit alone', () => {
    const lying = [
      { ...denyFor(refuse('internal')), reason: 'permitted' },
      { verdict: 'Permit', reason: 'internal', policies: [] },
      { verdict: undefined, reason: 'internal', policies: [] },
      { reason: 'internal', policies: [] },
    ] as unknown as Decision[];
    for (const decision of lying) {
      let code: number | undefined;
      try {
        code = numberAt(message(answer(decision), 1), 1);
      } catch {
        code = undefined;
      }
      expect(code === undefined || code === 7).toBe(true);
    }
  });
});

describe.each(DENY_REASONS)('a deny because of %s', (reason) => {
  const deny: Deny = { ...denyFor(refuse(reason, 'OPERATOR ONLY')), policies: ['p'] };
  const fields = answer(deny);
  const denied = message(fields, 2);

  test('is code 7 with an explicit denied_response=2 and the status of the table', () => {
    expect(numberAt(message(fields, 1), 1)).toBe(7);
    expect(fields.has(3)).toBe(false);
    expect(fields.has(5)).toBe(false);
    expect(numberAt(message(denied, 1), 1)).toBe(STATUS[reason].http);
  });

  test('overwrites its headers, which are lower-case and well-formed', () => {
    const list = headers(messages(denied, 2));
    for (const [name, value] of list) {
      expect(name).toMatch(/^[a-z][a-z0-9-]*$/);
      expect(value).toMatch(/^[ -~]+$/);
    }
    const byName = new Map(list);
    expect(byName.size).toBe(list.length);
    expect(byName.get('content-type')).toBe('application/problem+json');
    expect(byName.get('cache-control')).toBe('no-store');
    expect(byName.get('x-pdp-decision-id')).toMatch(/^0193a5b0/);
    expect(byName.has('www-authenticate')).toBe(
      STATUS[reason].http === 401 || reason === 'credentials_conflict',
    );
  });

  test('has problem details for a body, without the words for operators anywhere', () => {
    expect(JSON.parse(text(denied, 3))).toMatchObject({ reason, status: STATUS[reason].http });
    expect(encoder()('id', deny).includes('OPERATOR')).toBe(false);
  });

  test('is an error_response=5 only for a fault of ours, and only where that is chosen', () => {
    const chosen = answer(deny, true);
    const isFault = STATUS[reason].http === 503;
    expect(chosen.has(5)).toBe(isFault);
    expect(chosen.has(2)).toBe(!isFault);
    expect(numberAt(message(chosen, 1), 1)).toBe(7);
    expect(numberAt(message(message(chosen, isFault ? 5 : 2), 1), 1)).toBe(STATUS[reason].http);
  });
});

describe('a CheckRequest as Envoy writes it', () => {
  const field = (number: number, body: Buffer | string) => {
    const bytes = Buffer.from(body);
    const varint = (value: number): number[] =>
      value > 0x7f ? [(value & 0x7f) | 0x80, ...varint(value >>> 7)] : [value];
    return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes]);
  };
  const varint = (number: number, value: number) => Buffer.from([number << 3, value]);
  const join = (...parts: Buffer[]) => Buffer.concat(parts);
  const address = (ip: string) => field(1, field(1, join(field(2, ip), varint(3, 80))));
  const http = (...more: Buffer[]) =>
    join(
      field(1, 'stream'),
      field(2, 'GET'),
      field(4, '/p'),
      field(5, 'host'),
      field(6, 'https'),
      varint(9, 5),
      field(10, 'HTTP/2'),
      ...more,
    );
  const attributes = (httpRequest: Buffer) =>
    field(
      1,
      join(
        field(1, join(address('10.0.0.1'), field(2, 'svc'), field(4, 'spiffe://a/b'), field(5, 'cert'))),
        field(2, join(address('10.0.0.2'), field(4, 'spiffe://a/c'))),
        // Timestamp of the request (1), which we skip.
        field(4, join(field(1, varint(1, 1)), field(2, httpRequest))),
        field(10, join(field(1, 'k'), field(2, 'v'))),
        field(
          11,
          field(1, join(field(1, 'ns'), field(2, field(1, join(field(1, 'x'), field(2, field(3, 'y'))))))),
        ),
        field(12, field(1, 'sni')),
      ),
    );

  test('is read by field number', () => {
    expect(
      decodeCheckRequest(attributes(http(field(3, join(field(1, 'a'), field(2, 'b'))))), types.CheckRequest),
    ).toMatchObject({
      source: { ip: '10.0.0.1', port: 80, principal: 'spiffe://a/b', certificate: 'cert', service: 'svc' },
      destination: { ip: '10.0.0.2', principal: 'spiffe://a/c' },
      http: { method: 'GET', path: '/p', host: 'host', scheme: 'https', size: 5, protocol: 'HTTP/2' },
      streamId: 'stream',
      sni: 'sni',
      contextExtensions: new Map([['k', 'v']]),
      metadata: new Map([['ns', { x: 'y' }]]),
    });
  });

  test('has its headers in 3, or raw in 13', () => {
    const inMap = decodeCheckRequest(
      attributes(http(field(3, join(field(1, 'a'), field(2, 'b'))))),
      types.CheckRequest,
    );
    const raw = decodeCheckRequest(
      attributes(http(field(13, field(1, join(field(1, 'a'), field(3, 'b')))))),
      types.CheckRequest,
    );
    for (const request of [inMap, raw])
      expect('http' in request && request.http.headers.values('a')).toEqual(['b']);
  });

  test('may hold fields that we do not know', () => {
    const body = http(
      field(7, 'query'),
      field(8, 'fragment'),
      field(11, 'body'),
      field(12, 'raw'),
      field(99, 'new'),
    );
    expect(decodeCheckRequest(attributes(body), types.CheckRequest)).toMatchObject({ http: { path: '/p' } });
  });
});
