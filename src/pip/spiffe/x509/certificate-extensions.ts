import { AsnConvert } from '@peculiar/asn1-schema';
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  type Extension,
  ExtendedKeyUsage,
  GeneralNames,
  KeyUsage,
  KeyUsageFlags,
  NameConstraints,
  SubjectKeyIdentifier,
  id_ce_authorityKeyIdentifier as AUTHORITY_KEY_ID,
  id_ce_basicConstraints as BASIC_CONSTRAINTS,
  id_ce_certificatePolicies as CERTIFICATE_POLICIES,
  id_ce_extKeyUsage as EXTENDED_KEY_USAGE,
  id_ce_keyUsage as KEY_USAGE,
  id_ce_nameConstraints as NAME_CONSTRAINTS,
  id_ce_subjectAltName as SUBJECT_ALT_NAME,
  id_ce_subjectKeyIdentifier as SUBJECT_KEY_ID,
} from '@peculiar/asn1-x509';
import type { GeneralName } from '@peculiar/asn1-x509';
import { derProblem } from './der-shape.ts';

/** What a key may be used for (RFC 5280 §4.2.1.3), as far as X509-SVID §4.3 speaks of it. */
export interface KeyUses {
  readonly critical: boolean;
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
  readonly crlSign: boolean;
}

/** The extensions of a certificate that path and leaf validation look at. */
export interface Extensions {
  /** Basic constraints, `cA`. */
  readonly isCa: boolean;
  /** Basic constraints, `pathLenConstraint`: how many CA certificates may stand between this one and the leaf. */
  readonly pathLength?: number;
  /** Absent: the extension is absent. */
  readonly keyUses?: KeyUses;
  /** OIDs; absent: the extension is absent. */
  readonly purposes?: readonly string[];
  readonly altNames: readonly GeneralName[];
  readonly altNamesCritical: boolean;
  readonly subjectKeyId?: string;
  readonly authorityKeyId?: string;
  readonly nameConstraints?: NameConstraints;
  /** OIDs of the critical extensions that are not processed; any of them makes the certificate unusable (RFC 5280 §4.2). */
  readonly unknownCritical: readonly string[];
}

const MAX_EXTENSIONS = 40;
const MAX_ALT_NAMES = 500;

// Without policies asked for or required, any set of policies is right (RFC 5280 §6.1.2), so there is nothing to process.
const PROCESSED: ReadonlySet<string> = new Set([
  BASIC_CONSTRAINTS,
  KEY_USAGE,
  EXTENDED_KEY_USAGE,
  SUBJECT_ALT_NAME,
  NAME_CONSTRAINTS,
  AUTHORITY_KEY_ID,
  SUBJECT_KEY_ID,
  CERTIFICATE_POLICIES,
]);

/** Reads the extensions; a repeated one is refused (RFC 5280 §4.2). Throws where one that is looked at has the wrong structure. */
export function readExtensions(list: readonly Extension[]): Extensions | { readonly problem: string } {
  if (list.length > MAX_EXTENSIONS) return { problem: `has more than ${MAX_EXTENSIONS} extensions` };
  const byId = new Map(list.map((extension) => [extension.extnID, extension]));
  if (byId.size < list.length) return { problem: 'has the same extension twice' };
  const altNames = [...(read(byId, SUBJECT_ALT_NAME, GeneralNames) ?? [])];
  if (altNames.length > MAX_ALT_NAMES) return { problem: `has more than ${MAX_ALT_NAMES} alternative names` };
  return {
    ...readConstraints(byId),
    ...readUses(byId),
    ...readKeyIds(byId),
    altNames,
    altNamesCritical: byId.get(SUBJECT_ALT_NAME)?.critical ?? false,
    unknownCritical: list.filter((extension) => isUnknownCritical(extension)).map(({ extnID }) => extnID),
  };
}

function isUnknownCritical({ critical, extnID }: Extension): boolean {
  return critical && !PROCESSED.has(extnID);
}

type ById = ReadonlyMap<string, Extension>;

function read<T>(byId: ById, id: string, type: new () => T): T | undefined {
  const extension = byId.get(id);
  if (extension === undefined) return undefined;
  const bytes = new Uint8Array(extension.extnValue.buffer);
  const problem = derProblem(bytes);
  if (problem !== undefined) throw new Error(`extension ${id} ${problem}`);
  return AsnConvert.parse(bytes, type);
}

function readConstraints(byId: ById): Pick<Extensions, 'isCa' | 'pathLength' | 'nameConstraints'> {
  const basic = read(byId, BASIC_CONSTRAINTS, BasicConstraints);
  const names = read(byId, NAME_CONSTRAINTS, NameConstraints);
  return {
    isCa: basic?.cA ?? false,
    ...(basic?.pathLenConstraint !== undefined && { pathLength: basic.pathLenConstraint }),
    ...(names && { nameConstraints: names }),
  };
}

function readUses(byId: ById): Pick<Extensions, 'keyUses' | 'purposes'> {
  const bits = read(byId, KEY_USAGE, KeyUsage)?.toNumber();
  const purposes = read(byId, EXTENDED_KEY_USAGE, ExtendedKeyUsage);
  return {
    ...(bits !== undefined && { keyUses: keyUses(bits, byId.get(KEY_USAGE)?.critical ?? false) }),
    ...(purposes && { purposes: [...purposes] }),
  };
}

function keyUses(bits: number, critical: boolean): KeyUses {
  return {
    critical,
    digitalSignature: (bits & KeyUsageFlags.digitalSignature) !== 0,
    keyCertSign: (bits & KeyUsageFlags.keyCertSign) !== 0,
    crlSign: (bits & KeyUsageFlags.cRLSign) !== 0,
  };
}

function readKeyIds(byId: ById): Pick<Extensions, 'subjectKeyId' | 'authorityKeyId'> {
  const subject = read(byId, SUBJECT_KEY_ID, SubjectKeyIdentifier);
  const authority = read(byId, AUTHORITY_KEY_ID, AuthorityKeyIdentifier)?.keyIdentifier;
  return {
    ...(subject && { subjectKeyId: Buffer.from(subject.buffer).toString('hex') }),
    ...(authority && { authorityKeyId: Buffer.from(authority.buffer).toString('hex') }),
  };
}
