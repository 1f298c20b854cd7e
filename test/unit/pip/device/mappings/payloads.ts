/** A computer as the Jamf Pro API documents it (`computers-inventory-detail/{id}`), cut to what matters and a little more. */
export function jamfComputer() {
  return {
    id: '1',
    udid: 'A8C5F29D',
    general: {
      name: 'Mac-1',
      platform: 'Mac',
      remoteManagement: { managed: true },
      supervised: true,
      userApprovedMdm: true,
      reportDate: '2026-11-22T09:00:00Z',
      lastContactTime: '2026-11-22T11:00:00Z',
      barcode1: null,
    },
    diskEncryption: {
      bootPartitionEncryptionDetails: {
        partitionFileVault2State: 'ENCRYPTED',
        partitionFileVault2Percent: 100,
      },
      fileVault2Enabled: true,
    },
    security: {
      sipStatus: 'ENABLED',
      gatekeeperStatus: 'APP_STORE_AND_IDENTIFIED_DEVELOPERS',
      autoLoginDisabled: true,
      remoteDesktopEnabled: false,
      firewallEnabled: true,
      secureBootLevel: 'FULL_SECURITY',
      attestationStatus: 'SUCCESS',
    },
    operatingSystem: { name: 'macOS', version: '15.4.1', build: '24E263' },
    groupMemberships: [
      { groupId: '7', groupName: 'Compliant Macs', smartGroup: true },
      { groupId: '8', groupName: 'Compliant Macs', smartGroup: false },
    ],
  };
}

/** A Zero Trust Assessment as the Falcon API documents it. */
export function crowdStrikeAssessment(overall: number) {
  return {
    meta: { query_time: 0.01, trace_id: 'x' },
    resources: [
      {
        aid: 'a'.repeat(32),
        cid: 'c'.repeat(32),
        system_serial_number: 'S1',
        event_platform: 'Win',
        product_type_desc: 'Workstation',
        modified_time: '2026-11-22T08:00:00Z',
        sensor_file_status: 'deployed',
        assessment: { sensor_config: 80, os: 90, overall, version: '3.8.1' },
        assessment_items: { os_signals: [], sensor_signals: [] },
      },
    ],
    errors: [],
  };
}

/** A host's details as the Falcon API documents them. */
export function crowdStrikeHost() {
  return {
    device_id: 'a'.repeat(32),
    cid: 'c'.repeat(32),
    agent_version: '7.20.18802.0',
    platform_name: 'Mac',
    os_version: 'Sequoia (15)',
    product_type_desc: 'Workstation',
    status: 'normal',
    reduced_functionality_mode: 'no',
    last_seen: '2026-11-22T07:00:00Z',
    modified_timestamp: '2026-11-22T07:30:00Z',
  };
}

/** A `managedDevice` as Microsoft Graph documents it. */
export function intuneDevice(parts: object = {}) {
  return {
    '@odata.type': '#microsoft.graph.managedDevice',
    id: '705c034c-034c-705c-4c03-5c704c035c70',
    managedDeviceOwnerType: 'company',
    lastSyncDateTime: '2026-11-22T00:02:49.3205976-08:00',
    operatingSystem: 'Windows',
    complianceState: 'compliant',
    jailBroken: 'Unknown',
    managementAgent: 'mdm',
    osVersion: '10.0.22631.4460',
    azureADRegistered: true,
    azureADDeviceId: '2f9c',
    deviceRegistrationState: 'registered',
    isSupervised: false,
    isEncrypted: true,
    partnerReportedThreatState: 'secured',
    androidSecurityPatchLevel: null,
    totalStorageSpaceInBytes: 1024,
    ...parts,
  };
}

/** A host as the Fleet API documents it. Its uptime in nanoseconds is more than a JavaScript number holds exactly. */
export function fleetHost(parts: object = {}) {
  return {
    host: {
      id: 1,
      detail_updated_at: '2026-11-22T07:00:00Z',
      policy_updated_at: '2026-11-22T06:00:00Z',
      seen_time: '2026-11-22T11:00:00Z',
      uuid: '392547dc',
      platform: 'darwin',
      osquery_version: '5.15.0',
      os_version: 'macOS 15.4.1',
      uptime: 20_807_520_000_000_000,
      gigs_disk_space_available: 46.1,
      disk_encryption_enabled: true,
      status: 'online',
      policies: [{ id: 1, name: 'P', response: 'pass', critical: false }],
      issues: { failing_policies_count: 0, total_issues_count: 0 },
      mdm: { enrollment_status: 'On (automatic)', name: 'Fleet', server_url: null },
      ...parts,
    },
  };
}
