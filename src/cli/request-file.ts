import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { AccessRequest, Peer } from '../pdp/access-request.ts';
import { InputError } from '../pdp/errors.ts';
import { HeaderFields } from '../pdp/header-fields.ts';

const RequestSchema = z.strictObject({
  description: z.string().optional(),
  /** SPIFFE ID that the PEP authenticated; absent: none. */
  source: z.string().default(''),
  destination: z.string().default(''),
  source_ip: z.string().optional(),
  method: z.string(),
  path: z.string(),
  host: z.string(),
  scheme: z.enum(['http', 'https']).default('https'),
  headers: z.record(z.string(), z.string()).default({}),
  sni: z.string().default(''),
  context_extensions: z.record(z.string(), z.string()).default({}),
});

/** Reads a request file: one question as the PEP would ask it. Throws `InputError` with every problem. */
export function readRequestFile(file: string, token: string | undefined): AccessRequest {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new InputError('the request cannot be read:', [{ where: file, message: (error as Error).message }]);
  }
  const parsed = RequestSchema.safeParse(json);
  if (!parsed.success) {
    throw new InputError(
      'the request is not valid:',
      parsed.error.issues.map(({ path, message }) => ({ where: `${file}: ${path.join('.')}`, message })),
    );
  }
  const { data } = parsed;
  const headers = { ...data.headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  return {
    source: { ...peer(data.source), ...(data.source_ip !== undefined && { ip: data.source_ip, port: 0 }) },
    destination: peer(data.destination),
    http: {
      method: data.method,
      path: data.path,
      host: data.host,
      scheme: data.scheme,
      protocol: 'HTTP/1.1',
      headers: new HeaderFields(Object.entries(headers), false),
      size: -1,
    },
    streamId: '',
    sni: data.sni,
    contextExtensions: new Map(Object.entries(data.context_extensions)),
    metadata: new Map(),
  };
}

function peer(principal: string): Peer {
  return { principal, certificate: '', service: '' };
}
