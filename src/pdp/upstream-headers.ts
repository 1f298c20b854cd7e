import type { UpstreamHeader } from './decision.ts';

/** Headers that mean something to the connection, to the PEP or to the backend's trust, and that no policy sets. */
const RESERVED =
  /^(?:host|connection|content-length|transfer-encoding|te|trailer|upgrade|keep-alive|expect|authorization|cookie|proxy-.*|x-envoy-.*|x-forwarded-.*|x-pdp-.*|grpc-.*)$/;

/**
 * Reads `@upstream_headers("name: value")`, several parted by line breaks (`\n`). Adds a complaint for a name that is no lower-case
 * header name, is reserved or named twice, and for a value that is not printable ASCII.
 */
export function readUpstreamHeaders(text: string, complain: (message: string) => void): UpstreamHeader[] {
  const headers = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([a-z0-9][a-z0-9-]{0,63}): ([!-~](?:[ -~]{0,1022}[!-~])?)$/.exec(line);
    const [, name, value] = match ?? [];
    if (name === undefined || value === undefined)
      complain(`@upstream_headers: '${line}' is not 'name: value', the name in lower case`);
    else if (RESERVED.test(name)) complain(`@upstream_headers: '${name}' is not for policies to set`);
    else if (name.split('-').length > 7) complain(`@upstream_headers: '${name}' has too many dashes`);
    else if (headers.has(name)) complain(`@upstream_headers: '${name}' is named twice`);
    else headers.set(name, value);
  }
  return [...headers];
}
