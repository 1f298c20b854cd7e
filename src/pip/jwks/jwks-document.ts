import type { JWK } from 'jose';
import { externalJsonProblem, isRecord } from '../../pdp/external-json.ts';

/** The keys of a JSON Web Key Set that may verify signatures, or why the text is not a key set. */
export type JwksReading = { readonly keys: readonly JWK[] } | { readonly problem: string };

const MAX_KEYS = 100;
const MIN_RSA_BITS = 2048;
const ASYMMETRIC: ReadonlySet<string> = new Set(['RSA', 'EC', 'OKP']);

/**
 * Reads a JSON Web Key Set (RFC 7517 §5) down to the public signature keys. Keys of other kinds or uses are passed over, as §5
 * asks; so are RSA keys under 2048 bits. A set that publishes a private or symmetric key is refused as a whole, for whoever runs it
 * has lost control of it.
 */
export function readJwks(text: string): JwksReading {
  const document = parseObject(text);
  if (document === undefined) return { problem: 'is not a JSON object' };
  const problem = externalJsonProblem(document);
  if (problem !== undefined) return { problem };
  const keys: unknown = document['keys'];
  if (!Array.isArray(keys)) return { problem: "has no 'keys' array" };
  if (keys.length > MAX_KEYS) return { problem: `has more than ${MAX_KEYS} keys` };
  const records = keys.filter(isRecord);
  if (records.some(isSecret)) return { problem: 'publishes a private or symmetric key' };
  return { keys: records.filter(isSignatureKey) };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isSecret(key: Record<string, unknown>): boolean {
  return key['kty'] === 'oct' || 'd' in key || 'k' in key;
}

function isSignatureKey(key: Record<string, unknown>): key is JWK & Record<string, unknown> {
  const { kty, use, kid, n } = key;
  if (typeof kty !== 'string' || !ASYMMETRIC.has(kty)) return false;
  if (kid !== undefined && typeof kid !== 'string') return false;
  if (kty === 'RSA' && (typeof n !== 'string' || modulusBits(n) < MIN_RSA_BITS)) return false;
  return use === undefined || use === 'sig';
}

function modulusBits(modulus: string): number {
  const bytes = Buffer.from(modulus, 'base64url');
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first] ?? 0) + 24;
}
