import type { AttributeRecord } from '../../../pdp/attribute.ts';

/** A vendor's facts, each or missing: what is `undefined` is left out. */
type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

/** What a vendor's payload says of a device, in the neutral schema. */
export interface DeviceFacts {
  readonly managed?: boolean | undefined;
  readonly compliant?: boolean | undefined;
  readonly os?: { readonly family?: string | undefined; readonly version?: string | undefined };
  readonly diskEncrypted?: boolean | undefined;
  readonly firewall?: boolean | undefined;
  readonly risk?: 'low' | 'medium' | 'high' | undefined;
  /** Unix ms. */
  readonly observedAt?: number | undefined;
  readonly groups?: readonly string[] | undefined;
  /** What the vendor says in words of its own. */
  readonly vendor: { readonly name: string; readonly facts: Facts };
}

/** The neutral posture as a record of attributes: what is not known is left out, never false. */
export function postureOf(facts: DeviceFacts): AttributeRecord {
  const { observedAt, vendor } = facts;
  const os = present(facts.os ?? {});
  const own = present(vendor.facts);
  return {
    ...present({
      managed: facts.managed,
      compliant: facts.compliant,
      disk_encrypted: facts.diskEncrypted,
      firewall: facts.firewall,
      risk: facts.risk,
      observed_at: observedAt === undefined ? undefined : Math.floor(observedAt / 1_000),
    }),
    ...(Object.keys(os).length > 0 && { os }),
    ...(Object.keys(own).length > 0 && { vendor: { [vendor.name]: own } }),
  };
}

function present(facts: Facts): Record<string, string | number | boolean> {
  const known: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(facts)) if (value !== undefined) known[name] = value;
  return known;
}

/** The older of two times: what rests on both is as old as the older. */
export function olderOf(left: number | undefined, right: number | undefined): number | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return Math.min(left, right);
}
