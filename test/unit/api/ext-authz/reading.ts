import { decodeCheckRequest } from '../../../../src/api/ext-authz/decode.ts';
import { INCIDENTAL_HEADERS } from '../../../../src/api/ext-authz/incidental-headers.ts';
import { canonicalise } from '../../../../src/pdp/canonical.ts';
import { isRefusal } from '../../../../src/pdp/decision.ts';
import type { Peer } from '../../../../src/pdp/access-request.ts';
import { EXT_AUTHZ_TYPES } from '../../../support/requests.ts';

function address({ port: _port, ...peer }: Peer) {
  return peer;
}

/** All that anything can be decided by, as the pipeline reads it. */
export function reading(bytes: Uint8Array) {
  const request = decodeCheckRequest(bytes, EXT_AUTHZ_TYPES.CheckRequest);
  // Where in the bytes the decoder stopped is no part of the question.
  if (isRefusal(request)) return request.refusal;
  const { source, destination, http, streamId: _id, metadata, contextExtensions, ...rest } = request;
  const { headers, ...parts } = http;
  const names = [...headers.names()].filter((name) => !INCIDENTAL_HEADERS.has(name));
  return {
    ...rest,
    ...parts,
    source: address(source),
    destination: address(destination),
    metadata: [...metadata],
    contextExtensions: [...contextExtensions],
    joined: headers.joined,
    headers: names.map((name) => [name, headers.values(name)]),
    canonical: canonicalise(request),
  };
}
