import { describe, expect, test } from 'vitest';
import { askServer, decodeCheckResponse, encodeCheckRequest } from '../../../../src/api/ext-authz/client.ts';
import { decodeCheckRequest } from '../../../../src/api/ext-authz/decode.ts';
import { createEncoder } from '../../../../src/api/ext-authz/encode.ts';
import { freePort } from '../../../support/free-port.ts';
import { EXT_AUTHZ_TYPES, accessRequest } from '../../../support/requests.ts';

const { CheckRequest, CheckResponse } = EXT_AUTHZ_TYPES;

test('a question survives encoding and decoding, duplicates and odd bytes included', () => {
  const question = accessRequest({
    ip: '10.0.0.1',
    sni: 's',
    headers: [
      ['a', '1'],
      ['a', '2'],
      ['b', 'caf\u00e9'],
    ],
    contextExtensions: { x: 'y' },
  });
  expect(decodeCheckRequest(encodeCheckRequest(question, CheckRequest), CheckRequest)).toEqual(question);
});

describe('an answer', () => {
  const encode = createEncoder(CheckResponse, { realm: 'r', faultsAsError: false });

  test('that permits reads as one', () => {
    const bytes = encode('id-1', {
      verdict: 'permit',
      reason: 'permitted',
      policies: ['a', 'b'],
      snapshot: 'sha256:1',
      cacheableUntil: 5,
    });
    expect(decodeCheckResponse(bytes, CheckResponse)).toEqual({
      allowed: true,
      httpStatus: 200,
      headers: { 'x-pdp-decision-id': 'id-1' },
      body: '',
      metadata: {
        decision_id: 'id-1',
        decision: 'ALLOW',
        reason: 'permitted',
        policies: ['a', 'b'],
        snapshot: 'sha256:1',
        cacheable_until: 5,
      },
    });
  });

  test('that denies reads as one', () => {
    const bytes = encode('id-1', { verdict: 'deny', reason: 'token_expired', policies: [] });
    expect(decodeCheckResponse(bytes, CheckResponse)).toMatchObject({
      allowed: false,
      httpStatus: 401,
      metadata: { reason: 'token_expired', policies: [] },
    });
  });

  test('that is empty reads as Envoy reads it: an allow', () => {
    expect(decodeCheckResponse(Buffer.alloc(0), CheckResponse).allowed).toBe(true);
  });
});

test('a server that is not there is an error', async () => {
  await expect(askServer(`127.0.0.1:${await freePort()}`, accessRequest(), EXT_AUTHZ_TYPES)).rejects.toThrow(
    /UNAVAILABLE/,
  );
});
