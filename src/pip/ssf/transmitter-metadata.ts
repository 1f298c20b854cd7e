import { externalJsonProblem } from '../../pdp/external-json.ts';
import { fetchUrlProblem } from '../../pdp/fetch-url.ts';
import { TransmitterError, type TransmitterHttp, objectOf } from './transmitter-http.ts';

/** What a transmitter says of itself (SSF 1.0 §7.1), as far as it is used here. */
export interface TransmitterMetadata {
  readonly issuer: string;
  readonly jwksUri?: string;
  readonly configurationEndpoint?: string;
  readonly statusEndpoint?: string;
  readonly verificationEndpoint?: string;
  readonly criticalMembers: readonly string[];
}

const TIMEOUT_MS = 10_000;
const WELL_KNOWN = '/.well-known/ssf-configuration';

/** Where the metadata of an issuer are: the well-known part goes before the path, whose last slash goes (SSF 1.0 §7.2). */
export function metadataUrl(issuer: string): string {
  const url = new URL(issuer);
  return `${url.origin}${WELL_KNOWN}${url.pathname.replace(/\/$/, '')}`;
}

/**
 * Asks a transmitter what it says of itself. Rejects with a {@link TransmitterError}: also where it says that it is another, is of a version before
 * 1.0 of the specification, or names an endpoint that may not be asked.
 */
export async function fetchMetadata(
  http: TransmitterHttp,
  issuer: string,
  signal: AbortSignal,
): Promise<TransmitterMetadata> {
  const request = {
    method: 'GET',
    url: metadataUrl(issuer),
    timeoutMs: TIMEOUT_MS,
    anonymous: true,
  } as const;
  const document = objectOf(await http.ask({ ...request, signal }));
  if (externalJsonProblem(document) !== undefined)
    throw new TransmitterError('has metadata that are not accepted here');
  if (document['issuer'] !== issuer)
    throw new TransmitterError('says in its metadata that it is another issuer');
  if (!isFinal(document['spec_version']))
    throw new TransmitterError(
      'has no spec_version of 1_0 or a later 1.x in its metadata: it is not one of SSF 1.0',
    );
  const endpoint = (name: string) => endpointOf(document, name);
  const jwksUri = endpoint('jwks_uri');
  const configurationEndpoint = endpoint('configuration_endpoint');
  const statusEndpoint = endpoint('status_endpoint');
  const verificationEndpoint = endpoint('verification_endpoint');
  return {
    issuer,
    ...(jwksUri !== undefined && { jwksUri }),
    ...(configurationEndpoint !== undefined && { configurationEndpoint }),
    ...(statusEndpoint !== undefined && { statusEndpoint }),
    ...(verificationEndpoint !== undefined && { verificationEndpoint }),
    criticalMembers: strings(document['critical_subject_members']),
  };
}

/** Drafts (`1_0-ID2`) differ in where the subject is; another major version may differ in anything. */
function isFinal(version: unknown): boolean {
  return typeof version === 'string' && /^1_\d{1,3}$/.test(version);
}

function endpointOf(document: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = document[name];
  if (value === undefined || value === null) return undefined;
  const text = typeof value === 'string' ? value : '';
  const problem = fetchUrlProblem(text);
  if (problem !== undefined) throw new TransmitterError(`names a ${name} in its metadata that ${problem}`);
  return text;
}

function strings(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new TransmitterError('has critical_subject_members in its metadata that are not strings');
}
