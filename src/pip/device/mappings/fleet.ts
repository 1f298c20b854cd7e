import { isRecord } from '../../../pdp/external-json.ts';
import { atPointer } from '../../facts/json-pointer.ts';
import { type DeviceFacts, olderOf } from './device-facts.ts';
import { type Payload, WrongPayload, openPayload } from './payload.ts';

const FAMILIES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    darwin: 'macos',
    windows: 'windows',
    ios: 'ios',
    ipados: 'ipados',
    android: 'android',
    chrome: 'chromeos',
  }),
);

/** Fleet says `platform` by distribution; these are Linux. */
const LINUX: ReadonlySet<string> = new Set([
  'linux',
  'ubuntu',
  'debian',
  'rhel',
  'centos',
  'fedora',
  'amzn',
  'arch',
  'gentoo',
  'kali',
  'linuxmint',
  'manjaro',
  'nixos',
  'opensuse-leap',
  'opensuse-tumbleweed',
  'pop',
  'sles',
]);

/** Answers of one policy: Fleet leaves the answer empty until the policy has run on the host. */
interface PolicyCounts {
  readonly failing: number;
  readonly failingCritical: number;
  readonly open: number;
  readonly total: number;
}

/**
 * Reads a host of the Fleet API (`hosts/{id}` or `hosts/identifier/{identifier}`; ask with `exclude_software=true`, for hosts list all that is
 * installed). A host is compliant when all its policies pass, and not when one fails; where none fails but some have not run, or there are
 * none, it is not known.
 */
export function readFleet(document: unknown): DeviceFacts | undefined {
  const payload = openPayload(atPointer(document, '/host') ?? document);
  const counts = countPolicies(payload);
  const platform = payload.text('/platform') ?? '';
  const status = payload.text('/mdm/enrollment_status');
  const policiesAt = counts && payload.instant('/policy_updated_at');
  return {
    managed: status === undefined ? undefined : managedOf(status),
    compliant: counts && compliantOf(counts),
    os: {
      family: FAMILIES.get(platform) ?? (LINUX.has(platform) ? 'linux' : undefined),
      version: versionOf(payload),
    },
    diskEncrypted: payload.flag('/disk_encryption_enabled'),
    observedAt: olderOf(payload.instant('/detail_updated_at'), policiesAt),
    vendor: { name: 'fleet', facts: { ...ownFacts(payload), ...countFacts(counts) } },
  };
}

/** `On (manual)`, `On (automatic)` and their kin; a host that is only pending has not enrolled. */
function managedOf(status: string): boolean | undefined {
  if (status.startsWith('On (')) return true;
  return status === 'Off' || status === 'Pending' ? false : undefined;
}

function countPolicies(payload: Payload): PolicyCounts | undefined {
  const policies = payload.list('/policies');
  if (policies === undefined) return undefined;
  const counts = { failing: 0, failingCritical: 0, open: 0, total: policies.length };
  for (const [index, policy] of policies.entries()) {
    const response = isRecord(policy) ? policy['response'] : undefined;
    if (response !== 'pass' && response !== 'fail' && response !== '')
      throw new WrongPayload(`has no answer of a policy at '/policies/${index}/response'`);
    if (response === '') counts.open += 1;
    if (response !== 'fail') continue;
    counts.failing += 1;
    if (isRecord(policy) && policy['critical'] === true) counts.failingCritical += 1;
  }
  return counts;
}

function compliantOf({ failing, open, total }: PolicyCounts): boolean | undefined {
  if (failing > 0) return false;
  return open === 0 && total > 0 ? true : undefined;
}

function countFacts(counts: PolicyCounts | undefined) {
  return { failing_policies: counts?.failing, failing_critical_policies: counts?.failingCritical };
}

/** `os_version` is the name and the version; which of its numbers is the version is plain only for Apple's. */
function versionOf(payload: Payload): string | undefined {
  return /^(?:macOS|iOS|iPadOS) (\d+(?:\.\d+)*)$/.exec(payload.text('/os_version') ?? '')?.[1];
}

function ownFacts(payload: Payload) {
  return {
    status: payload.text('/status'),
    os_version: payload.text('/os_version'),
    osquery_version: payload.text('/osquery_version'),
    mdm_enrollment_status: payload.text('/mdm/enrollment_status'),
    mdm_name: payload.text('/mdm/name'),
  };
}
