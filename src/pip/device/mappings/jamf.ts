import { isRecord } from '../../../pdp/external-json.ts';
import type { DeviceFacts } from './device-facts.ts';
import { type Payload, WrongPayload, openPayload, theOnly } from './payload.ts';

/** States of FileVault that say whether the boot partition is encrypted as a whole; the others leave it open. */
const ENCRYPTED: ReadonlyMap<string, boolean> = new Map(
  Object.entries({
    ENCRYPTED: true,
    UNENCRYPTED: false,
    ENCRYPTING: false,
    ENCRYPTING_PAUSED: false,
    DECRYPTING: false,
    DECRYPTING_PAUSED: false,
    DECRYPTED: false,
  }),
);

/**
 * Reads a computer of the Jamf Pro API (`computers-inventory-detail/{id}`, or `computers-inventory` with a filter that finds one computer;
 * ask for the sections GENERAL, DISK_ENCRYPTION, SECURITY, OPERATING_SYSTEM and GROUP_MEMBERSHIPS). Jamf's compliance is membership of a
 * group, so groups come along. `undefined`: there is no such computer.
 */
export function readJamf(document: unknown): DeviceFacts | undefined {
  const computer = theOnly(document, '/results');
  if (computer === undefined) return undefined;
  const payload = openPayload(computer);
  const state = payload.text('/diskEncryption/bootPartitionEncryptionDetails/partitionFileVault2State');
  return {
    managed: payload.flag('/general/remoteManagement/managed'),
    os: { family: familyOf(payload), version: payload.text('/operatingSystem/version') },
    diskEncrypted: state === undefined ? undefined : ENCRYPTED.get(state),
    firewall: payload.flag('/security/firewallEnabled'),
    observedAt: payload.instant('/general/reportDate'),
    groups: groupsOf(payload),
    vendor: { name: 'jamf', facts: ownFacts(payload) },
  };
}

function familyOf(payload: Payload): string | undefined {
  const platform = payload.text('/general/platform') ?? payload.text('/operatingSystem/name');
  return platform !== undefined && /^mac/i.test(platform) ? 'macos' : undefined;
}

function groupsOf(payload: Payload): readonly string[] | undefined {
  return payload.list('/groupMemberships')?.map((membership, index) => {
    const name = isRecord(membership) ? membership['groupName'] : undefined;
    if (typeof name === 'string' && name !== '') return name;
    throw new WrongPayload(`has no group's name at '/groupMemberships/${index}/groupName'`);
  });
}

function ownFacts(payload: Payload) {
  return {
    supervised: payload.flag('/general/supervised'),
    user_approved_mdm: payload.flag('/general/userApprovedMdm'),
    sip_status: payload.text('/security/sipStatus'),
    gatekeeper_status: payload.text('/security/gatekeeperStatus'),
    secure_boot_level: payload.text('/security/secureBootLevel'),
    auto_login_disabled: payload.flag('/security/autoLoginDisabled'),
    remote_desktop_enabled: payload.flag('/security/remoteDesktopEnabled'),
    attestation_status: payload.text('/security/attestationStatus'),
    file_vault_state: payload.text('/diskEncryption/bootPartitionEncryptionDetails/partitionFileVault2State'),
  };
}
