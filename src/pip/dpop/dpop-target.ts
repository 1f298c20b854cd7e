import type { CanonicalRequest } from '../../pdp/canonical.ts';
import { canonicalHost, canonicalPath } from '../../pdp/canonical.ts';

/** The origins (`https://host[:port]`) that clients see, by canonical host as we see it. Never taken from a request. */
export type ExternalOrigins = ReadonlyMap<string, readonly string[]>;

const SHAPE = /^(https?):\/\/([^/?#@]+)(\/[^?#]*)?$/;

/**
 * Compares `htu` of a DPoP proof with the request (RFC 9449 §4.3): an external origin of its host and its canonical path, query and fragment
 * aside. The target in its one spelling, or in words what is wrong.
 */
export function readTarget(
  origins: ExternalOrigins,
  htu: string,
  { host, path }: CanonicalRequest,
): { readonly uri: string } | string {
  const allowed = origins.get(host);
  if (allowed === undefined) return 'no external origin is configured for the host (tokens.dpop.origins)';
  const [, scheme = '', authority = '', rawPath = '/'] = SHAPE.exec(htu.replace(/[?#].*$/s, '')) ?? [];
  const origin = canonicalOrigin(scheme, authority);
  if (origin === undefined) return "'htu' is not an http(s) URL";
  if (!allowed.includes(origin)) return "'htu' is not of an external origin of the host";
  if (canonicalPath(rawPath) !== path) return "'htu' is not the path of the request";
  return { uri: `${origin}${path}` };
}

/** Reads the configured form of an origin; `undefined` where it is none. */
export function readOrigin(text: string): string | undefined {
  const [, scheme = '', authority = '', path = ''] = SHAPE.exec(text) ?? [];
  return path === '' ? canonicalOrigin(scheme, authority) : undefined;
}

function canonicalOrigin(scheme: string, authority: string): string | undefined {
  if (scheme === '') return undefined;
  const host = canonicalHost(authority, scheme);
  return typeof host === 'string' ? `${scheme}://${host}` : undefined;
}
