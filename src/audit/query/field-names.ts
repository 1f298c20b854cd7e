import { suggestion } from '../../pdp/suggest.ts';

const COMMON = 'v kind log index timestamp';

/** Of decisions, as src/audit/record/record.ts writes them. */
const DECISION = `decision_id decision enforced shadow_of explained batch asserted reason message detail cause evidence
  policies policy_errors stage surface claimed_sources source_certificate mtls method path path_raw host user
  principal action resource binding question entities accepts_tokens snapshot engine http_status trace_id span_id
  request_id cluster region latency_us truncated pseudonyms withheld subjects`;

/** Of the records about the log itself, and about what all answers come from. */
const CONTROL = `durability previous_run plaintext pid node config bytes_dropped count since uptime_s lost before
  digest slot by from to bytes root verb os_user filter id records follow state effect at until claims source stream
  event problem grant change scope expires_at granted_at actor justification ticket subject found looked_at caller
  results undecided ended jti attributes break_glass duration_s epoch vkey valid_until erasure subject_kind blobs match
  mismatch not_replayable by_stage_result sample`;

/** Fields that are objects, with their members. */
const OBJECTS: Readonly<Record<string, string>> = {
  source_identity: 'spiffe_id trust_domain namespace service_account evidence certificate_issuer',
  origin_identity: 'spiffe_id trust_domain namespace service_account evidence',
  destination_identity: 'spiffe_id',
  device: 'id evidence observed_at',
  token: 'state issuer sub kid alg jti iat exp bound act',
  pip: 'source subject status observed_at age_ms assumed stale event',
  cache: 'hit of age_ms like',
  pep: 'address spiffe_id application',
};

/** What is under these is named by others: policies, devices, whoever writes control records. */
const OPEN = ['context', 'device.left_out', 'pip.left_out'];

const KNOWN: ReadonlySet<string> = new Set([
  ...words(`${COMMON} ${DECISION} ${CONTROL}`),
  ...OPEN,
  ...Object.entries(OBJECTS).flatMap(([name, members]) => [
    name,
    ...words(members).map((member) => `${name}.${member}`),
  ]),
]);

function words(text: string): readonly string[] {
  return text.split(/\s+/);
}

/** Whether records can have a field of this name (`user`, `source_identity.namespace`, `context.http.path`). */
export function isField(path: string): boolean {
  return KNOWN.has(path) || OPEN.some((prefix) => path.startsWith(`${prefix}.`));
}

/** Why a name is no field, with the one that may be meant. */
export function unknownField(path: string): string {
  const [root = ''] = path.split('.');
  const rest = path.includes('.') && KNOWN.has(root) ? membersOf(root) : KNOWN;
  return `records have no field '${path}'${suggestion(path, rest)}`;
}

function membersOf(root: string): readonly string[] {
  const members = [...KNOWN].filter((name) => name.startsWith(`${root}.`));
  return members.length > 0 ? members : [root];
}
