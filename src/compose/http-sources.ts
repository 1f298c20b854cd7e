import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';
import { postureReader } from '../pip/device/mappings/posture-mapping.ts';
import type { ReadFacts } from '../pip/facts/fact-reading.ts';
import type { FactSource } from '../pip/facts/fact-source.ts';
import { answerReader } from '../pip/facts/http/answer-map.ts';
import { openHttpSource } from '../pip/facts/http/http-source.ts';
import { openScimSource } from '../pip/facts/scim/scim-source.ts';

type PipOf<Kind extends string> = Extract<Config['pips'][number], { readonly kind: Kind }>;

/** Opens an `http` point. Throws `InputError` for credentials that are not right. */
export async function openHttpPip(pip: PipOf<'http'>, log: Log): Promise<FactSource> {
  const { subject, url, body, issuer, absent_statuses: absentStatuses } = pip;
  return await openHttpSource({
    ...serverOf(pip, log),
    subject,
    url,
    ...(body !== undefined && { body }),
    ...(issuer !== undefined && { issuer }),
    absentStatuses,
    read: postureReaderOf(pip) ?? answerReader(answerMapOf(pip), pip.gives),
  });
}

/** Opens a `scim` point. Throws `InputError` for credentials that are not right. */
export async function openScimPip(pip: PipOf<'scim'>, log: Log): Promise<FactSource> {
  const { url, issuer, user_by: userBy, group_id: groupId, groups_from: groupsFrom } = pip;
  return await openScimSource({
    ...serverOf(pip, log),
    url,
    issuer,
    userBy,
    groupId,
    groupsFrom,
    attributes: new Map(Object.entries(pip.attributes)),
    maxGroups: pip.max_groups,
  });
}

/** What reads documents of a point as a vendor's payload; `undefined` where it is not to. */
export function postureReaderOf(pip: PipOf<'http' | 'redis'>): ReadFacts | undefined {
  const { mapping, gives, risk_thresholds: thresholds } = pip;
  if (mapping === undefined) return undefined;
  const riskThresholds = thresholds && { lowFrom: thresholds.low_from, mediumFrom: thresholds.medium_from };
  return postureReader(mapping, gives, { ...(riskThresholds && { riskThresholds }) });
}

function answerMapOf({ attributes, groups, observed_at: observedAt, found }: PipOf<'http'>) {
  const pointers = Object.entries(attributes);
  return {
    ...(pointers.length > 0 && { attributes: new Map(pointers) }),
    ...(groups !== undefined && { groups }),
    ...(observedAt !== undefined && { observedAt }),
    ...(found !== undefined && { found }),
  };
}

function serverOf(pip: PipOf<'http' | 'scim'>, log: Log) {
  const { token_file: token, cert_file: cert, key_file: key, ca_file: ca } = pip;
  const files = {
    ...(token !== undefined && { token }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(ca !== undefined && { ca }),
    headers: new Map(pip.header_files.map(({ header, file }) => [header, file])),
  };
  return {
    name: pip.name,
    gives: pip.gives,
    credentials: files,
    headers: pip.headers,
    maxBytes: pip.max_bytes,
    // As many as there are questions at a time, so that none waits behind another unseen.
    maxConnections: pip.concurrency,
    log,
  };
}
