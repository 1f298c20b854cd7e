import type { AttributeRecord } from '../../../pdp/attribute.ts';
import { isReservedKey } from '../../../pdp/external-json.ts';
import { ABSENT, type FactReading, type ReadFacts } from '../../facts/fact-reading.ts';
import { readPosture } from '../posture.ts';
import { type RiskThresholds, readCrowdStrike } from './crowdstrike.ts';
import { type DeviceFacts, postureOf } from './device-facts.ts';
import { readFleet } from './fleet.ts';
import { readIntune } from './intune.ts';
import { readJamf } from './jamf.ts';
import { WrongPayload } from './payload.ts';

/** Vendors whose payloads can be read as device posture. */
export const MAPPING_NAMES = ['jamf', 'crowdstrike', 'intune', 'fleet'] as const;

/** One of {@link MAPPING_NAMES}. */
export type MappingName = (typeof MAPPING_NAMES)[number];

/** Settings of {@link postureReader}. */
export interface PostureReaderOptions {
  /** For `crowdstrike`. */
  readonly riskThresholds?: RiskThresholds;
}

/**
 * Makes the reader of a vendor's payloads: the neutral posture (`src/pip/device/posture.ts`) with the vendor's own facts under `vendor`, of
 * which `gives` are kept. What a payload does not say is missing and never false; a payload that says nothing, and a value of another type than
 * documented, are problems.
 */
export function postureReader(
  mapping: MappingName,
  gives: readonly string[],
  options: PostureReaderOptions = {},
): ReadFacts {
  const read = readerOf(mapping, options);
  return (json) => {
    try {
      const facts = read(json);
      return facts === undefined ? ABSENT : factsOf(facts, gives);
    } catch (error) {
      if (error instanceof WrongPayload) return { problem: error.message };
      throw error;
    }
  };
}

function readerOf(
  mapping: MappingName,
  { riskThresholds }: PostureReaderOptions,
): (json: unknown) => DeviceFacts | undefined {
  switch (mapping) {
    case 'jamf':
      return readJamf;
    case 'crowdstrike':
      return (json) => readCrowdStrike(json, riskThresholds);
    case 'intune':
      return readIntune;
    case 'fleet':
      return readFleet;
  }
}

function factsOf(facts: DeviceFacts, gives: readonly string[]): FactReading {
  const reading = readPosture(postureOf(facts));
  if ('problem' in reading) return reading;
  if (Object.keys(reading.posture).length === 0) return { problem: 'holds nothing of what it is read for' };
  const kept = gives.filter((name) => Object.hasOwn(reading.posture, name) && !isReservedKey(name));
  const attributes = Object.fromEntries(kept.map((name) => [name, reading.posture[name]])) as AttributeRecord;
  const { observedAt, groups = [] } = facts;
  return {
    status: 'found',
    attributes,
    groups: gives.includes('groups') ? [...new Set(groups)] : [],
    ...(observedAt !== undefined && { observedAt }),
  };
}
