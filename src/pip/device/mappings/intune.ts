import type { DeviceFacts } from './device-facts.ts';
import { type Payload, openPayload, theOnly } from './payload.ts';

const FAMILIES: readonly (readonly [RegExp, string])[] = [
  [/^windows/i, 'windows'],
  [/^mac ?os/i, 'macos'],
  [/^ipados/i, 'ipados'],
  [/^ios/i, 'ios'],
  [/^android/i, 'android'],
  [/^chrome ?os/i, 'chromeos'],
  [/^linux/i, 'linux'],
];

/** `complianceState`: a device within its grace period is non-compliant and let in all the same; the other values leave it open. */
const COMPLIANT: ReadonlyMap<string, boolean> = new Map(
  Object.entries({
    compliant: true,
    noncompliant: false,
    inGracePeriod: false,
  }),
);

/** `managementAgent`: whether somebody manages the device itself. Exchange alone manages mail; the values not listed leave it open. */
const MANAGED: ReadonlyMap<string, boolean> = new Map(
  Object.entries({
    mdm: true,
    easMdm: true,
    intuneClient: true,
    easIntuneClient: true,
    configurationManagerClient: true,
    configurationManagerClientMdm: true,
    configurationManagerClientMdmEas: true,
    jamf: true,
    googleCloudDevicePolicyController: true,
    eas: false,
  }),
);

/** `partnerReportedThreatState`, where it is a grade. */
const RISK: ReadonlyMap<string, 'low' | 'medium' | 'high'> = new Map(
  Object.entries({
    secured: 'low',
    lowSeverity: 'low',
    mediumSeverity: 'medium',
    highSeverity: 'high',
    compromised: 'high',
  }),
);

/**
 * Reads a `managedDevice` of Microsoft Graph (`deviceManagement/managedDevices/{id}`, or the list with a filter that finds one).
 * `undefined`: there is no such device.
 */
export function readIntune(document: unknown): DeviceFacts | undefined {
  const device = theOnly(document, '/value');
  if (device === undefined) return undefined;
  const payload = openPayload(device);
  const system = payload.text('/operatingSystem') ?? '';
  return {
    managed: MANAGED.get(payload.text('/managementAgent') ?? ''),
    compliant: COMPLIANT.get(payload.text('/complianceState') ?? ''),
    os: {
      family: FAMILIES.find(([pattern]) => pattern.test(system))?.[1],
      version: payload.text('/osVersion'),
    },
    diskEncrypted: payload.flag('/isEncrypted'),
    risk: RISK.get(payload.text('/partnerReportedThreatState') ?? ''),
    observedAt: payload.instant('/lastSyncDateTime'),
    vendor: { name: 'intune', facts: ownFacts(payload) },
  };
}

function ownFacts(payload: Payload) {
  return {
    compliance_state: payload.text('/complianceState'),
    management_agent: payload.text('/managementAgent'),
    owner_type: payload.text('/managedDeviceOwnerType'),
    registration_state: payload.text('/deviceRegistrationState'),
    threat_state: payload.text('/partnerReportedThreatState'),
    jail_broken: payload.text('/jailBroken'),
    supervised: payload.flag('/isSupervised'),
    azure_ad_registered: payload.flag('/azureADRegistered'),
    android_security_patch_level: payload.text('/androidSecurityPatchLevel'),
  };
}
