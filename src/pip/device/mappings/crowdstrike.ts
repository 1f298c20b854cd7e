import { isRecord } from '../../../pdp/external-json.ts';
import { atPointer } from '../../facts/json-pointer.ts';
import { type DeviceFacts, olderOf } from './device-facts.ts';
import { type Payload, WrongPayload, openPayload, theOnly } from './payload.ts';

/** From which overall score of the Zero Trust Assessment (0 to 100, more is better) a device is of which risk. Below both it is high. */
export interface RiskThresholds {
  readonly lowFrom: number;
  readonly mediumFrom: number;
}

/** Ours: CrowdStrike publishes scores and leaves it to their readers what they mean. */
const RISK_THRESHOLDS: RiskThresholds = { lowFrom: 80, mediumFrom: 50 };

const FAMILIES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    Windows: 'windows',
    Win: 'windows',
    Mac: 'macos',
    Linux: 'linux',
    Lin: 'linux',
  }),
);

/**
 * Reads what the Falcon API says of one host: its Zero Trust Assessment (`zero-trust-assessment/entities/assessments/v1`), its details
 * (`devices/entities/devices/v2`), or both in one object. A host that is contained, or about to be, is of high risk. `undefined`: there is no such
 * host.
 */
export function readCrowdStrike(
  document: unknown,
  thresholds: RiskThresholds = RISK_THRESHOLDS,
): DeviceFacts | undefined {
  const host = theOnly(document, '/resources');
  if (host === undefined) return whyEmpty(document);
  const payload = openPayload(host);
  const platform = payload.text('/platform_name') ?? payload.text('/event_platform');
  return {
    os: { family: platform === undefined ? undefined : FAMILIES.get(platform) },
    risk: riskOf(payload, thresholds),
    observedAt: olderOf(payload.instant('/modified_time'), payload.instant('/last_seen')),
    vendor: { name: 'crowdstrike', facts: ownFacts(payload) },
  };
}

/** An empty answer means that there is no such host only where no other error says that it could not be looked for. */
function whyEmpty(document: unknown): undefined {
  const errors = atPointer(document, '/errors') ?? [];
  const areAbsence =
    Array.isArray(errors) && errors.every((error) => isRecord(error) && error['code'] === 404);
  if (!areAbsence) throw new WrongPayload("reports errors at '/errors'");
}

function riskOf(payload: Payload, { lowFrom, mediumFrom }: RiskThresholds): DeviceFacts['risk'] {
  const status = payload.text('/status');
  if (status === 'contained' || status === 'containment_pending') return 'high';
  const score = payload.whole('/assessment/overall');
  if (score === undefined) return undefined;
  if (score < 0 || score > 100) throw new WrongPayload("has no score from 0 to 100 at '/assessment/overall'");
  if (score >= lowFrom) return 'low';
  return score >= mediumFrom ? 'medium' : 'high';
}

function ownFacts(payload: Payload) {
  return {
    zta_score: payload.whole('/assessment/overall'),
    zta_os_score: payload.whole('/assessment/os'),
    zta_sensor_score: payload.whole('/assessment/sensor_config'),
    zta_version: payload.text('/assessment/version'),
    sensor_version: payload.text('/agent_version'),
    sensor_file_status: payload.text('/sensor_file_status'),
    status: payload.text('/status'),
    reduced_functionality_mode: payload.text('/reduced_functionality_mode'),
    os_version: payload.text('/os_version'),
    product_type: payload.text('/product_type_desc'),
  };
}
