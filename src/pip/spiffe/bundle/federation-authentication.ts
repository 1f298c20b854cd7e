import { readFile } from 'node:fs/promises';
import type { TrustBundle } from '../../../pdp/x509-svid.ts';
import { fileProblem } from '../../polled-file.ts';
import { parseSpiffeId } from '../spiffe-id.ts';
import { readBundleFile } from './bundle-document.ts';
import type { EndpointAuthentication } from './federation-fetch.ts';

/** How the server of a bundle endpoint proves itself (SPIFFE Federation §5.2). */
export type EndpointProfile =
  /** By web PKI. `caFile`: CAs in PEM, in place of those of the runtime. */
  | { readonly kind: 'https_web'; readonly caFile?: string }
  /** By its SPIFFE ID. `bundleFile`: the bundle of that ID's trust domain for the first connection, in PEM or as a bundle document. */
  | { readonly kind: 'https_spiffe'; readonly spiffeId: string; readonly bundleFile?: string };

/**
 * What the server of an endpoint is to be authenticated by, right now. `newest` has the newest bundle of a trust domain at hand, however
 * old. Rejects with an `Error` in an operator's words where there is nothing to go by.
 */
export async function authenticationOf(
  profile: EndpointProfile,
  newest: (trustDomain: string) => TrustBundle | undefined,
): Promise<EndpointAuthentication> {
  if (profile.kind === 'https_web')
    return profile.caFile === undefined ? {} : { ca: await readText(profile.caFile) };
  const identity = parseSpiffeId(profile.spiffeId);
  if ('invalid' in identity) throw new Error(`its SPIFFE ID ${identity.invalid}`);
  const { trustDomain } = identity;
  const bundle = newest(trustDomain) ?? (await firstBundle(profile.bundleFile, trustDomain));
  if (bundle.x509Authorities.length === 0)
    throw new Error(`the bundle of ${trustDomain}, which its server's SVID is of, trusts nobody any more`);
  return { spiffeId: profile.spiffeId, bundle };
}

async function firstBundle(file: string | undefined, trustDomain: string): Promise<TrustBundle> {
  if (file === undefined) throw new Error(`no bundle of ${trustDomain} is at hand to verify its server by`);
  const reading = readBundleFile(await readText(file), trustDomain);
  if ('problem' in reading) throw new Error(`the bundle in ${file} ${reading.problem}`);
  return reading.bundle;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${file}: ${fileProblem(error)}`, { cause: error });
  }
}
