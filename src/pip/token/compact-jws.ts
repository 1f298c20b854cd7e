import { externalJsonProblem, isRecord } from '../../pdp/external-json.ts';
import { type Refusal, refuse } from '../../pdp/decision.ts';

/** A token taken apart; nothing in it is verified. */
export interface CompactJws {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Longest token looked at, in characters. */
export const MAX_TOKEN_LENGTH = 16_384;

/**
 * Takes a JWT apart (RFC 7515 §7.1) in the one spelling it may have: three parts of canonical base64url, so that a token cannot
 * be re-spelled past a cache or a revocation list. Refuses extensions (`crit`, `b64`) and headers or payloads that are not
 * JSON objects: `token_malformed`.
 */
export function parseCompactJws(token: string): CompactJws | Refusal {
  if (token.length > MAX_TOKEN_LENGTH) return malformed(`longer than ${MAX_TOKEN_LENGTH} bytes`);
  const parts = token.split('.', 4);
  const [headerPart, payloadPart, signature] = parts;
  if (
    parts.length !== 3 ||
    headerPart === undefined ||
    payloadPart === undefined ||
    signature === undefined
  ) {
    return malformed('not three parts');
  }
  if (!parts.every(isCanonicalBase64Url)) return malformed('a part is not canonical base64url');
  const header = parseObject(headerPart);
  if (header === undefined) return malformed('the header is not a JSON object');
  const problem = externalJsonProblem(header);
  if (problem !== undefined) return malformed(`the header ${problem}`);
  if ('crit' in header || 'b64' in header) return malformed('the header asks for an extension (crit, b64)');
  const payload = parseObject(payloadPart);
  return payload === undefined ? malformed('the payload is not a JSON object') : { header, payload };
}

function malformed(detail: string): Refusal {
  return refuse('token_malformed', detail);
}

function isCanonicalBase64Url(text: string): boolean {
  // Node's decoder passes over what it does not know; encoding again shows every such liberty, unused trailing bits included.
  return text.length > 0 && Buffer.from(text, 'base64url').toString('base64url') === text;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parseObject(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(UTF8.decode(Buffer.from(part, 'base64url')));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
