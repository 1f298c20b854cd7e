import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  MAPPING_NAMES,
  type MappingName,
  postureReader,
} from '../../../../../src/pip/device/mappings/posture-mapping.ts';
import { crowdStrikeAssessment, crowdStrikeHost, fleetHost, intuneDevice, jamfComputer } from './payloads.ts';

const GIVES = [
  'managed',
  'compliant',
  'os',
  'disk_encrypted',
  'screen_lock',
  'firewall',
  'risk',
  'observed_at',
  'vendor',
  'groups',
];
const ABSENT = { status: 'absent', attributes: {}, groups: [] };

function read(mapping: MappingName, payload: unknown, gives = GIVES) {
  return postureReader(mapping, gives)(payload);
}

/** The same document without what is at a path. */
function without(document: object, path: readonly string[]): object {
  let parent = document as Record<string, unknown>;
  for (const name of path.slice(0, -1)) parent = parent[name] as Record<string, unknown>;
  const last = path.at(-1) ?? '';
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else Reflect.deleteProperty(parent, last);
  return document;
}

describe('a computer of Jamf Pro', () => {
  test('is posture', () => {
    expect(read('jamf', jamfComputer())).toEqual({
      status: 'found',
      attributes: {
        managed: true,
        os: { family: 'macos', version: '15.4.1' },
        disk_encrypted: true,
        firewall: true,
        observed_at: Date.UTC(2026, 10, 22, 9) / 1000,
        vendor: {
          jamf: {
            supervised: true,
            user_approved_mdm: true,
            sip_status: 'ENABLED',
            gatekeeper_status: 'APP_STORE_AND_IDENTIFIED_DEVELOPERS',
            secure_boot_level: 'FULL_SECURITY',
            auto_login_disabled: true,
            remote_desktop_enabled: false,
            attestation_status: 'SUCCESS',
            file_vault_state: 'ENCRYPTED',
          },
        },
      },
      groups: ['Compliant Macs'],
      observedAt: Date.UTC(2026, 10, 22, 9),
    });
  });

  test.each([
    ['UNENCRYPTED', false],
    ['ENCRYPTING', false],
    ['DECRYPTED', false],
    ['UNKNOWN', undefined],
    ['INELIGIBLE', undefined],
    ['constructor', undefined],
  ])('in the state %s has disk_encrypted %j', (state, encrypted) => {
    const payload = {
      diskEncryption: { bootPartitionEncryptionDetails: { partitionFileVault2State: state } },
    };
    expect(read('jamf', payload, ['disk_encrypted'])).toEqual({
      status: 'found',
      attributes: encrypted === undefined ? {} : { disk_encrypted: encrypted },
      groups: [],
    });
  });

  test('may be the one result of a list', () => {
    expect(read('jamf', { totalCount: 1, results: [jamfComputer()] })).toEqual(read('jamf', jamfComputer()));
    expect(read('jamf', { totalCount: 0, results: [] })).toEqual(ABSENT);
    expect(read('jamf', { totalCount: 2, results: [jamfComputer(), jamfComputer()] })).toEqual({
      problem: "holds more than one device at '/results'",
    });
  });
});

describe('a host of CrowdStrike', () => {
  test('is posture by its assessment', () => {
    expect(read('crowdstrike', crowdStrikeAssessment(87))).toEqual({
      status: 'found',
      attributes: {
        os: { family: 'windows' },
        risk: 'low',
        observed_at: Date.UTC(2026, 10, 22, 8) / 1000,
        vendor: {
          crowdstrike: {
            zta_score: 87,
            zta_os_score: 90,
            zta_sensor_score: 80,
            zta_version: '3.8.1',
            sensor_file_status: 'deployed',
            product_type: 'Workstation',
          },
        },
      },
      groups: [],
      observedAt: Date.UTC(2026, 10, 22, 8),
    });
  });

  test.each([
    [100, 'low'],
    [80, 'low'],
    [79, 'medium'],
    [50, 'medium'],
    [49, 'high'],
    [0, 'high'],
  ])('with the score %d is of %s risk', (score, risk) => {
    expect(read('crowdstrike', crowdStrikeAssessment(score), ['risk'])).toMatchObject({
      attributes: { risk },
    });
  });

  test('is of the risk that the configured thresholds say', () => {
    const reader = postureReader('crowdstrike', ['risk'], {
      riskThresholds: { lowFrom: 95, mediumFrom: 90 },
    });
    expect(reader(crowdStrikeAssessment(94))).toMatchObject({ attributes: { risk: 'medium' } });
    expect(reader(crowdStrikeAssessment(89))).toMatchObject({ attributes: { risk: 'high' } });
  });

  test('is posture by its details, and says nothing of its risk where it has no score', () => {
    expect(read('crowdstrike', { resources: [crowdStrikeHost()] })).toEqual({
      status: 'found',
      attributes: {
        os: { family: 'macos' },
        observed_at: Date.UTC(2026, 10, 22, 7) / 1000,
        vendor: {
          crowdstrike: {
            sensor_version: '7.20.18802.0',
            status: 'normal',
            reduced_functionality_mode: 'no',
            os_version: 'Sequoia (15)',
            product_type: 'Workstation',
          },
        },
      },
      groups: [],
      observedAt: Date.UTC(2026, 10, 22, 7),
    });
  });

  test.each(['contained', 'containment_pending'])(
    'that is %s is of high risk, whatever its score',
    (status) => {
      const merged = { ...crowdStrikeHost(), ...crowdStrikeAssessment(100).resources[0], status };
      expect(read('crowdstrike', merged, ['risk'])).toMatchObject({ attributes: { risk: 'high' } });
    },
  );

  test('is as old as the older of its assessment and its last contact', () => {
    const merged = { ...crowdStrikeHost(), ...crowdStrikeAssessment(100).resources[0] };
    expect(read('crowdstrike', merged)).toMatchObject({ observedAt: Date.UTC(2026, 10, 22, 7) });
  });

  test('is absent where nothing is found, and only for that', () => {
    expect(read('crowdstrike', { resources: [], errors: [] })).toEqual(ABSENT);
    expect(read('crowdstrike', { resources: [], errors: [{ code: 404, message: 'x' }] })).toEqual(ABSENT);
    expect(read('crowdstrike', { resources: [], errors: [{ code: 500, message: 'x' }] })).toEqual({
      problem: "reports errors at '/errors'",
    });
  });

  test('with a score that is none is refused', () => {
    expect(read('crowdstrike', crowdStrikeAssessment(101))).toEqual({
      problem: "has no score from 0 to 100 at '/assessment/overall'",
    });
  });
});

describe('a managed device of Intune', () => {
  test('is posture', () => {
    expect(read('intune', intuneDevice())).toEqual({
      status: 'found',
      attributes: {
        managed: true,
        compliant: true,
        os: { family: 'windows', version: '10.0.22631.4460' },
        disk_encrypted: true,
        risk: 'low',
        observed_at: Math.floor(Date.UTC(2026, 10, 22, 8, 2, 49) / 1000),
        vendor: {
          intune: {
            compliance_state: 'compliant',
            management_agent: 'mdm',
            owner_type: 'company',
            registration_state: 'registered',
            threat_state: 'secured',
            jail_broken: 'Unknown',
            supervised: false,
            azure_ad_registered: true,
          },
        },
      },
      groups: [],
      observedAt: Date.UTC(2026, 10, 22, 8, 2, 49, 320),
    });
  });

  test.each([
    ['noncompliant', false],
    ['inGracePeriod', false],
    ['conflict', undefined],
    ['error', undefined],
    ['configManager', undefined],
    ['unknown', undefined],
  ])('in the state %s has compliant %j', (complianceState, compliant) => {
    expect(read('intune', intuneDevice({ complianceState }), ['compliant'])).toMatchObject({
      attributes: compliant === undefined ? {} : { compliant },
    });
  });

  test.each([
    ['eas', false],
    ['unknown', undefined],
  ])('managed by %s has managed %j', (managementAgent, managed) => {
    expect(read('intune', intuneDevice({ managementAgent }), ['managed'])).toMatchObject({
      attributes: managed === undefined ? {} : { managed },
    });
  });

  test.each([
    ['mediumSeverity', 'medium'],
    ['highSeverity', 'high'],
    ['compromised', 'high'],
    ['unresponsive', undefined],
  ])('with the threat state %s has risk %j', (partnerReportedThreatState, risk) => {
    expect(read('intune', intuneDevice({ partnerReportedThreatState }), ['risk'])).toMatchObject({
      attributes: risk === undefined ? {} : { risk },
    });
  });

  test('that has never synced is as old as can be, not of now', () => {
    expect(read('intune', intuneDevice({ lastSyncDateTime: '0001-01-01T00:00:00Z' }))).toMatchObject({
      observedAt: 0,
      attributes: { observed_at: 0 },
    });
  });

  test('may be the one result of a list', () => {
    expect(read('intune', { value: [intuneDevice()] })).toEqual(read('intune', intuneDevice()));
    expect(read('intune', { value: [] })).toEqual(ABSENT);
  });
});

describe('a host of Fleet', () => {
  test('is posture, whatever else its payload holds', () => {
    expect(read('fleet', fleetHost())).toEqual({
      status: 'found',
      attributes: {
        managed: true,
        compliant: true,
        os: { family: 'macos', version: '15.4.1' },
        disk_encrypted: true,
        observed_at: Date.UTC(2026, 10, 22, 6) / 1000,
        vendor: {
          fleet: {
            status: 'online',
            os_version: 'macOS 15.4.1',
            osquery_version: '5.15.0',
            mdm_enrollment_status: 'On (automatic)',
            mdm_name: 'Fleet',
            failing_policies: 0,
            failing_critical_policies: 0,
          },
        },
      },
      groups: [],
      observedAt: Date.UTC(2026, 10, 22, 6),
    });
  });

  test.each([
    [['pass', 'fail'], false],
    [['fail', ''], false],
    [['pass', ''], undefined],
    [[], undefined],
  ])('whose policies say %j has compliant %j', (responses, compliant) => {
    const policies = responses.map((response) => ({ response, critical: true }));
    expect(read('fleet', fleetHost({ policies }), ['compliant'])).toMatchObject({
      attributes: compliant === undefined ? {} : { compliant },
    });
  });

  test.each([
    ['On (manual)', true],
    ['Off', false],
    ['Pending', false],
    ['Something', undefined],
    [null, undefined],
  ])('with the enrolment %j has managed %j', (status, managed) => {
    expect(read('fleet', fleetHost({ mdm: { enrollment_status: status } }), ['managed'])).toMatchObject({
      attributes: managed === undefined ? {} : { managed },
    });
  });

  test('of a Linux distribution is of the family linux, without a version that would have to be guessed', () => {
    const host = fleetHost({ platform: 'rhel', os_version: 'CentOS Linux 8.3.2011' });
    expect(read('fleet', host, ['os'])).toMatchObject({ attributes: { os: { family: 'linux' } } });
    expect(read('fleet', fleetHost({ platform: 'plan9', os_version: 'x' }), ['os'])).toMatchObject({
      attributes: {},
    });
  });
});

test.each<[MappingName, object]>([
  ['jamf', { totalCount: 2, results: [jamfComputer()] }],
  ['intune', { '@odata.nextLink': 'https://graph.example/next', value: [intuneDevice()] }],
  ['intune', { '@odata.count': 7, value: [intuneDevice()] }],
  ['crowdstrike', { meta: { pagination: { total: 3 } }, resources: [crowdStrikeHost()] }],
])('a page of a list of %s on which one device happens to be alone is refused', (mapping, document) => {
  expect(read(mapping, document)).toHaveProperty('problem', expect.stringContaining('one page of more'));
});

describe('every mapping', () => {
  test.each(MAPPING_NAMES)('%s refuses a payload of something else', (mapping) => {
    for (const payload of [{}, { error: 'secret' }])
      expect(read(mapping, payload)).toEqual({ problem: 'holds nothing of what it is read for' });
  });

  test.each<[MappingName, unknown, string]>([
    [
      'jamf',
      { general: { remoteManagement: { managed: 'secret' } } },
      "has no true or false at '/general/remoteManagement/managed'",
    ],
    ['jamf', { general: { reportDate: 'secret' } }, "has no RFC 3339 time at '/general/reportDate'"],
    [
      'jamf',
      { groupMemberships: [{ groupName: 7 }] },
      "has no group's name at '/groupMemberships/0/groupName'",
    ],
    ['jamf', { results: 'secret' }, "has no list at '/results'"],
    ['crowdstrike', { assessment: { overall: 'secret' } }, "has no whole number at '/assessment/overall'"],
    ['crowdstrike', { assessment: { os: 0.5 } }, "has no whole number at '/assessment/os'"],
    ['intune', { isEncrypted: 'secret' }, "has no true or false at '/isEncrypted'"],
    ['intune', { osVersion: 'x'.repeat(256) }, "has no text of at most 255 characters at '/osVersion'"],
    [
      'fleet',
      { host: { policies: [{ response: 'secret' }] } },
      "has no answer of a policy at '/policies/0/response'",
    ],
    ['fleet', { host: { disk_encryption_enabled: 1 } }, "has no true or false at '/disk_encryption_enabled'"],
    ['fleet', ['secret'], 'is not an object'],
  ])(
    '%s refuses what is not of the documented type, by its place and not by its value',
    (mapping, payload, problem) => {
      expect(read(mapping, payload)).toEqual({ problem });
    },
  );

  test.each(MAPPING_NAMES)('%s takes any JSON without throwing', (mapping) => {
    fc.assert(
      fc.property(fc.jsonValue(), (payload) => {
        const reading = read(mapping, payload);
        expect('problem' in reading || ['found', 'absent'].includes(reading.status)).toBe(true);
      }),
    );
  });

  test.each<[MappingName, object]>([
    ['jamf', jamfComputer()],
    ['crowdstrike', crowdStrikeAssessment(90)],
    ['crowdstrike', crowdStrikeHost()],
    ['intune', intuneDevice()],
    ['fleet', fleetHost()],
  ])(
    '%s makes nothing worse or new of what a payload leaves out: missing is never false',
    (mapping, payload) => {
      const whole = read(mapping, payload);
      const flags = ['managed', 'compliant', 'disk_encrypted', 'firewall', 'risk'] as const;
      const pathsOf = (value: unknown): string[][] =>
        typeof value === 'object' && value !== null
          ? Object.entries(value).flatMap(([name, member]) => [
              [name],
              ...pathsOf(member).map((path) => [name, ...path]),
            ])
          : [];
      for (const path of pathsOf(payload)) {
        const reading = read(mapping, without(structuredClone(payload), path));
        if ('problem' in reading || reading.status === 'absent' || 'problem' in whole) continue;
        for (const flag of flags) {
          const [now, before] = [reading.attributes[flag], whole.attributes[flag]];
          expect(now === undefined || now === before, `${flag} without /${path.join('/')}`).toBe(true);
        }
      }
    },
  );

  test('gives only what it is asked for', () => {
    expect(read('jamf', jamfComputer(), ['managed'])).toEqual({
      status: 'found',
      attributes: { managed: true },
      groups: [],
      observedAt: Date.UTC(2026, 10, 22, 9),
    });
  });
});
