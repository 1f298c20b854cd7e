/** Orders of the groups of the NIST curves (SP 800-186 §3.2.1), by the algorithm that signs in them (RFC 7518 §3.4). */
const ORDERS: Readonly<Record<string, bigint>> = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  ES384: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  ES512:
    0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
};

/** Bytes of one half of a signature, by algorithm. */
const HALF_BYTES: Readonly<Record<string, number>> = { ES256: 32, ES384: 48, ES512: 66 };

/** A token in the one spelling that is looked at. */
export interface LowSToken {
  readonly token: string;
  /** The signature that arrived was the other of the two that ECDSA allows: its `s` lay above half the order. */
  readonly wasHigh: boolean;
}

const MAX_HEADERS = 256;
const MAX_HEADER_LENGTH = 1024;

/**
 * Makes the function that gives a token the lower of its two ECDSA signatures: where (r, s) is valid, so is (r, n − s), and anybody can
 * make one of the other. Everything that is no canonical ECDSA token is given back as it is, for the parser to refuse. Headers repeat,
 * so what the last 256 said of the algorithm is remembered.
 */
export function createLowS(): (token: string) => LowSToken {
  const algorithms = new Map<string, string>();
  const algorithmOf = (header: string): string => {
    const known = algorithms.get(header);
    if (known !== undefined) return known;
    const algorithm = readAlgorithm(header);
    if (algorithms.size >= MAX_HEADERS) algorithms.clear();
    algorithms.set(header, algorithm);
    return algorithm;
  };
  return (token) => {
    const end = token.lastIndexOf('.');
    const header = token.slice(0, token.indexOf('.'));
    if (header.length > MAX_HEADER_LENGTH || end <= header.length) return { token, wasHigh: false };
    const low = lowSignature(token.slice(end + 1), algorithmOf(header));
    return low === undefined
      ? { token, wasHigh: false }
      : { token: `${token.slice(0, end + 1)}${low}`, wasHigh: true };
  };
}

function readAlgorithm(header: string): string {
  try {
    const value: unknown = JSON.parse(Buffer.from(header, 'base64url').toString());
    const alg = typeof value === 'object' && value !== null && 'alg' in value ? value.alg : undefined;
    return typeof alg === 'string' && Object.hasOwn(ORDERS, alg) ? alg : '';
  } catch {
    return '';
  }
}

/** The signature with the low `s`; `undefined` where this one is it, or is none in its canonical spelling. */
function lowSignature(signature: string, algorithm: string): string | undefined {
  const order = ORDERS[algorithm];
  const half = HALF_BYTES[algorithm];
  if (order === undefined || half === undefined) return undefined;
  const bytes = Buffer.from(signature, 'base64url');
  if (bytes.length !== 2 * half || bytes.toString('base64url') !== signature) return undefined;
  const s = BigInt(`0x${bytes.toString('hex', half)}`);
  if (s <= order >> 1n || s >= order) return undefined;
  bytes.write((order - s).toString(16).padStart(2 * half, '0'), half, 'hex');
  return bytes.toString('base64url');
}
