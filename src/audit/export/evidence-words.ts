import type { ProvenRecord } from './evidence-check.ts';

/** What evidence proves, in sentences for people who decide. */
export function sentencesOf(decision: ProvenRecord, reuses: ProvenRecord | undefined): readonly string[] {
  const { record, checkpoint } = decision;
  const by = record.policies.length === 0 ? 'by no policy' : `by ${record.policies.join(', ')}`;
  const signedAt = new Date(checkpoint.time).toISOString();
  const inputs = reuses ?? decision;
  return [
    `decision ${record.decision_id} was ${record.decision} (${record.reason}), made at ${record.timestamp} ${by}`,
    ...(record['enforced'] === false ? [NOT_ENFORCED] : []),
    ...question(decision),
    `its record has the index ${record.index} in the log '${String(record['log'])}' and was not changed since it was signed, at ${signedAt} at the latest`,
    ...(reuses ? [`it reuses the decision ${reuses.record.decision_id}, which is proven too`] : []),
    ...recorded(inputs),
    'it does not prove that this is all that was decided: that is what the verification of the whole log says',
  ];
}

const NOT_ENFORCED =
  'nobody acted on it: it was made in observe mode, beside another decision, or as an explanation';

function question({ record }: ProvenRecord): readonly string[] {
  const { method, host, path, principal, action, resource } = record;
  const cedar = [principal, action, resource].filter((part) => typeof part === 'string');
  const asked = cedar.length === 3 ? cedar : [method, host, path].filter((part) => typeof part === 'string');
  return asked.length === 0 ? [] : [`it was about ${asked.join(' ')}`];
}

function recorded({ record, erased }: ProvenRecord): readonly string[] {
  if (erased.length > 0)
    return [
      `${erased.length} of the facts that it was made of are not in the file, which says that they were erased (that it is so, only the log can show): it cannot be evaluated again`,
    ];
  if (!Array.isArray(record['entities']) && typeof record['question'] !== 'string')
    return [`no policy was asked: it was decided at the stage '${record.stage}'`];
  return [
    'the policies, the entities and the context that it was made of are in the file, and are the recorded ones',
  ];
}
