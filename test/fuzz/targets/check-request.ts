import { decodeCheckRequest } from '../../../src/api/ext-authz/decode.ts';
import { canonicalise } from '../../../src/pdp/canonical.ts';
import { isRefusal } from '../../../src/pdp/decision.ts';
import { EXT_AUTHZ_TYPES, LEDGER_API, PAYMENT_API, checkRequestBytes } from '../../support/requests.ts';
import { mutateMessage } from '../engine/mutate-message.ts';
import { type FuzzTarget, must } from '../engine/target.ts';

const { CheckRequest } = EXT_AUTHZ_TYPES;

/** Bytes of CheckRequests that show all that a PEP sends. */
export function checkRequestSeeds(): Uint8Array[] {
  const http = {
    method: 'GET',
    path: '/a?b',
    host: 'h',
    scheme: 'https',
    protocol: 'HTTP/2',
    headers: { a: '1' },
    size: 3,
  };
  const fields = {
    n: { numberValue: 1.5 },
    l: { listValue: { values: [{ stringValue: 'x' }, { structValue: {} }] } },
  };
  const metadataContext = { filterMetadata: { ns: { fields } } };
  return [
    checkRequestBytes(),
    checkRequestBytes({
      headers: [
        ['authorization', 'Bearer a.b.c'],
        ['x-forwarded-client-cert', 'By=a'],
      ],
      ip: '10.0.0.1',
      sni: 's',
    }),
    CheckRequest.encode({
      attributes: { request: { http }, metadataContext, contextExtensions: { a: 'b' } },
    }).finish(),
    Buffer.of(),
  ];
}

/** Words of CheckRequests. */
export const CHECK_REQUEST_WORDS: readonly string[] = [
  PAYMENT_API,
  LEDGER_API,
  'GET',
  'POST',
  'https',
  'HTTP/2',
  ':path',
  ':authority',
  'authorization',
  'x-forwarded-client-cert',
  'transfer-encoding',
  'chunked',
  'upgrade',
  'websocket',
  'content-type',
  'application/grpc',
  '__proto__',
  'constructor',
  '\n\x00',
  '\x12\x00',
  '\x1a\x00',
  '\x22\x00',
  '\x0a\xff\xff\xff\x0f',
  '\x80\x80\x80\x80\x80\x01',
  '\x0b',
  '\x0c',
];

/** Bytes that a PEP sends, up to the canonical reading. */
export function checkRequestTarget(): FuzzTarget {
  return {
    name: 'check-request',
    promise:
      'Whatever the bytes, they become a question whose parts are of their types, or a refusal; nothing is thrown.',
    covers: [
      'src/api/ext-authz/decode.ts',
      'src/api/struct.ts',
      'src/pdp/canonical.ts',
      'src/pdp/canonical-headers.ts',
      'src/pdp/header-fields.ts',
      'src/pdp/upgrade.ts',
    ],
    seeds: checkRequestSeeds(),
    dictionary: CHECK_REQUEST_WORDS,
    maxBytes: 4096,
    mutate: mutateMessage,
    run(input) {
      const request = decodeCheckRequest(input, CheckRequest);
      if (isRefusal(request)) return request.refusal;
      const { http, source, destination } = request;
      const texts = [
        http.method,
        http.path,
        http.host,
        http.scheme,
        http.protocol,
        request.sni,
        request.streamId,
      ];
      for (const peer of [source, destination]) texts.push(peer.principal, peer.certificate, peer.service);
      must(
        texts.every((text) => typeof text === 'string'),
        'a text is none',
      );
      must(Number.isFinite(http.size), 'the size is not a number');
      must(
        [...request.contextExtensions.values()].every((value) => typeof value === 'string'),
        'an extension is no text',
      );
      const canonical = canonicalise(request);
      return isRefusal(canonical) ? (canonical.detail ?? canonical.refusal).slice(0, 40) : 'accepted';
    },
  };
}
