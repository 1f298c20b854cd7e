import type { TrustBundles, X509Svid } from '../../../pdp/x509-svid.ts';
import { parseSpiffeId } from '../spiffe-id.ts';
import { splitDer } from '../x509/der-split.ts';
import { readOwnSvid } from '../own-svid.ts';
import {
  type Note,
  type X509Authorities,
  readX509Authorities,
  readX509Bundles,
} from './workload-api-bundles.ts';
import type { SvidMessage, WorkloadApiMessages } from './workload-api-client.ts';

/** Why a message is discarded whole, in words that continue "the message …". */
export interface Discarded {
  readonly problem: string;
}

/** What a usable message of the SVID stream says. */
export interface SvidReading {
  /** Absent: none in the message has the configured hint. */
  readonly svid?: X509Svid;
  readonly authorities: X509Authorities;
}

/** How a message is read. */
export interface SvidReadingOptions {
  /** Choose the first SVID with this hint. Absent: the first of all, the default identity (Workload API §8). */
  readonly hint: string | undefined;
  /** Unix ms. */
  readonly now: number;
  readonly note: Note;
}

const MAX_SVIDS = 100;
const MAX_CHAIN = 10;

/**
 * Reads a message of FetchX509SVID. One mandatory field that is empty (Workload API §4.5), or a chosen SVID that is not valid by the
 * bundle of its own trust domain, discards all of it.
 */
export function readSvids(
  message: WorkloadApiMessages['FetchX509SVID'],
  options: SvidReadingOptions,
): SvidReading | Discarded {
  const { svids } = message;
  if (svids.length === 0) return { problem: "has no 'svids'" };
  if (svids.length > MAX_SVIDS) return { problem: `has more than ${MAX_SVIDS} SVIDs` };
  const missing = svids.map(missingField).find((field) => field !== undefined);
  if (missing !== undefined) return { problem: `has an SVID without '${missing}'` };
  const own = readOwnBundles(svids, options.note);
  if ('problem' in own) return own;
  const authorities = new Map([
    ...readX509Bundles(message.federated_bundles, options.note),
    ...own.authorities,
  ]);
  const chosen = choose(svids, options);
  if (chosen === undefined) return { authorities };
  const svid = readSvid(chosen, authorities, options.now);
  return 'problem' in svid ? svid : { svid, authorities };
}

function missingField(svid: SvidMessage): string | undefined {
  const fields = ['spiffe_id', 'x509_svid', 'x509_svid_key', 'bundle'] as const;
  return fields.find((field) => svid[field].length === 0);
}

function choose(svids: readonly SvidMessage[], { hint, note }: SvidReadingOptions): SvidMessage | undefined {
  if (hint === undefined) return svids[0];
  const chosen = svids.find((svid) => svid.hint === hint);
  if (chosen === undefined) note(`has no SVID with the configured hint among its ${svids.length}`);
  return chosen;
}

function readOwnBundles(
  svids: readonly SvidMessage[],
  note: Note,
): { readonly authorities: X509Authorities } | Discarded {
  const bundles = new Map<string, Buffer>();
  for (const { spiffe_id: id, bundle } of svids) {
    const identity = parseSpiffeId(id);
    if ('invalid' in identity) return { problem: `has an SVID whose 'spiffe_id' ${identity.invalid}` };
    const known = bundles.get(identity.trustDomain);
    if (known !== undefined && !known.equals(bundle))
      return { problem: `has two different bundles of ${identity.trustDomain}` };
    bundles.set(identity.trustDomain, bundle);
  }
  const read = (trustDomain: string, bundle: Buffer) =>
    readX509Authorities(bundle, (problem) => note(`has a bundle of ${trustDomain} that ${problem}`));
  return {
    authorities: new Map(
      [...bundles].map(([trustDomain, bundle]) => [trustDomain, read(trustDomain, bundle)] as const),
    ),
  };
}

function readSvid(message: SvidMessage, authorities: X509Authorities, now: number): X509Svid | Discarded {
  const chain = splitDer(message.x509_svid);
  if (chain === undefined || chain.length > MAX_CHAIN)
    return { problem: `has an SVID that is not ${MAX_CHAIN} DER certificates or fewer, one after the other` };
  const certificates = chain.map((der) => pem('CERTIFICATE', der)).join('');
  const key = pem('PRIVATE KEY', message.x509_svid_key);
  const svid = readOwnSvid(certificates, key, asBundles(authorities), now);
  if ('problem' in svid) return { problem: `has an SVID that cannot be used: ${svid.problem}` };
  if (svid.identity.id === message.spiffe_id) return svid;
  return { problem: "has an SVID whose 'spiffe_id' is not the one in its certificate" };
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function asBundles(authorities: X509Authorities): TrustBundles {
  return new Map(
    [...authorities].map(([trustDomain, x509Authorities]) => [
      trustDomain,
      { trustDomain, x509Authorities, jwtAuthorities: [] },
    ]),
  );
}
