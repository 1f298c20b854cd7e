/** Every member that a decision record may have, in order, separated by spaces. */
export const FIELDS =
  'v kind log index decision_id timestamp decision enforced shadow_of explained batch asserted reason message detail cause evidence ' +
  'policies policy_errors stage surface source_identity origin_identity claimed_sources source_certificate destination_identity ' +
  'mtls method path path_raw host user device token principal action resource binding question context entities pip accepts_tokens ' +
  'snapshot engine cache http_status pep trace_id span_id request_id cluster region latency_us truncated';
