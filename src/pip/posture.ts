import type { AttributeRecord, AttributeValue } from '../pdp/attribute.ts';

/** A device's posture in the neutral schema, or why it is not in that schema. */
export type PostureReading = { readonly posture: AttributeRecord } | { readonly problem: string };

type Read = (value: unknown) => AttributeValue | undefined;

const readBool: Read = (value) => (typeof value === 'boolean' ? value : undefined);
const readText: Read = (value) => (typeof value === 'string' && value.length <= 255 ? value : undefined);
const readRisk: Read = (value) =>
  ['low', 'medium', 'high'].includes(value as string) ? (value as string) : undefined;
const readSeconds: Read = (value) =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined;

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
 * `firewall`, `risk` (`low`, `medium`, `high`) and `observed_at` (Unix seconds). Members may be missing, which never means false;
 * a member of the wrong type is a problem; members outside of the schema are dropped.
 */
export function readPosture(value: unknown): PostureReading {
  if (!isRecord(value)) return { problem: 'posture is not an object' };
  const flat = readMembers(POSTURE, value, 'posture');
  if ('problem' in flat || value['os'] === undefined || value['os'] === null) return flat;
  if (!isRecord(value['os'])) return { problem: 'posture.os is not an object' };
  const os = readMembers(OS, value['os'], 'posture.os');
  return 'problem' in os ? os : { posture: { ...flat.posture, os: os.posture } };
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
