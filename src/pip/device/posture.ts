import type { AttributeRecord, AttributeValue } from '../../pdp/attribute.ts';
import { isRecord, isReservedKey } from '../../pdp/external-json.ts';

/** A device's posture in the neutral schema, or why it is not in that schema. */
export type PostureReading = { readonly posture: AttributeRecord } | { readonly problem: string };

type Read = (value: unknown) => AttributeValue | undefined;

const readBool: Read = (value) => (typeof value === 'boolean' ? value : undefined);
const readText: Read = (value) => (typeof value === 'string' && value.length <= 255 ? value : undefined);
const readRisk: Read = (value) =>
  ['low', 'medium', 'high'].includes(value as string) ? (value as string) : undefined;
const readSeconds: Read = (value) =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined;

const readFact: Read = (value) =>
  readBool(value) ?? readText(value) ?? (Number.isSafeInteger(value) ? Number(value) + 0 : undefined);

const OS: Readonly<Record<string, Read>> = { family: readText, version: readText, patched: readBool };

const POSTURE: Readonly<Record<string, Read>> = {
  managed: readBool,
  compliant: readBool,
  disk_encrypted: readBool,
  screen_lock: readBool,
  firewall: readBool,
  risk: readRisk,
  observed_at: readSeconds,
};

/**
 * Reads a posture in the vendor-free schema: `managed`, `compliant`, `os{family,version,patched}`, `disk_encrypted`, `screen_lock`,
 * `firewall`, `risk` (`low`, `medium`, `high`) and `observed_at` (Unix seconds), and beside them `vendor`: what vendors say in words of
 * their own, as strings, booleans and whole numbers by vendor. Members may be missing, which never means false; a member of the
 * wrong type is a problem; members outside of the schema are dropped.
 */
export function readPosture(value: unknown): PostureReading {
  if (!isRecord(value)) return { problem: 'posture is not an object' };
  const flat = readMembers(POSTURE, value, 'posture');
  if ('problem' in flat) return flat;
  const os = readPart(value['os'], 'posture.os', (part) => readMembers(OS, part, 'posture.os'));
  if ('problem' in os) return os;
  const vendor = readPart(value['vendor'], 'posture.vendor', readVendors);
  if ('problem' in vendor) return vendor;
  return {
    posture: {
      ...flat.posture,
      ...(os.posture && { os: os.posture }),
      ...(vendor.posture && { vendor: vendor.posture }),
    },
  };
}

function readPart(
  value: unknown,
  where: string,
  read: (part: Record<string, unknown>) => PostureReading,
): PostureReading | { readonly posture?: never } {
  if (value === undefined || value === null) return {};
  return isRecord(value) ? read(value) : { problem: `${where} is not an object` };
}

const MAX_VENDORS = 8;
const MAX_VENDOR_FACTS = 64;
/** Names that a Cedar schema can declare without quotes; what is not declared never reaches a policy. */
const FACT_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;

function readVendors(vendors: Record<string, unknown>): PostureReading {
  const entries = Object.entries(vendors);
  if (entries.length > MAX_VENDORS)
    return { problem: `posture.vendor holds more than ${MAX_VENDORS} vendors` };
  const posture: Record<string, AttributeValue> = {};
  for (const [vendor, facts] of entries) {
    if (!isFactName(vendor)) return { problem: 'posture.vendor holds a name that is not an identifier' };
    if (!isRecord(facts)) return { problem: `posture.vendor.${vendor} is not an object` };
    const reading = readVendorFacts(facts, `posture.vendor.${vendor}`);
    if ('problem' in reading) return reading;
    posture[vendor] = reading.posture;
  }
  return { posture };
}

function readVendorFacts(facts: Record<string, unknown>, where: string): PostureReading {
  const entries = Object.entries(facts);
  if (entries.length > MAX_VENDOR_FACTS)
    return { problem: `${where} holds more than ${MAX_VENDOR_FACTS} facts` };
  if (!entries.every(([name]) => isFactName(name)))
    return { problem: `${where} holds a name that is not an identifier` };
  return readMembers(Object.fromEntries(entries.map(([name]) => [name, readFact])), facts, where);
}

function isFactName(name: string): boolean {
  return FACT_NAME.test(name) && !isReservedKey(name);
}

function readMembers(
  schema: Readonly<Record<string, Read>>,
  value: Record<string, unknown>,
  where: string,
): PostureReading {
  const posture: Record<string, AttributeValue> = {};
  for (const [name, read] of Object.entries(schema)) {
    const member = value[name];
    if (member === undefined || member === null) continue;
    const attribute = read(member);
    if (attribute === undefined) return { problem: `${where}.${name} has a value of the wrong type` };
    posture[name] = attribute;
  }
  return { posture };
}
