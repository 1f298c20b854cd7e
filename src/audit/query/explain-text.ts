import type { CedarRequest } from '../../pdp/evaluation.ts';
import { uidText } from '../../pdp/evaluation.ts';
import { explanationText } from '../../pdp/explain/explanation-text.ts';
import type { LogRecord } from '../read/decision-record.ts';
import { MEANS_WORDS } from '../replay/report-words.ts';
import { type Verdict, WHY_WORDS } from '../replay/verdict.ts';
import type { RecordProof } from '../verify/record-proof.ts';
import type { Counterfactual } from './counterfactual.ts';
import type { ExplainedDecision } from './explain-decision.ts';
import { textOf, valuesAt } from './filter.ts';
import { harmless } from './row.ts';

/** What the reasons for a deny mean, in words. */
export type ReasonWords = (reason: string) => string | undefined;

type Row = readonly [name: string, text: string | undefined];

const STAGES: Readonly<Record<string, string>> = {
  decode: 'before anybody was identified: the question itself was refused',
  authenticate: 'who asks: evidence was refused',
  gather: 'the facts that the policies need could not be had',
  bind: 'the request means nothing that policies speak of',
  evaluate: 'the policies were asked',
};

/** A decision in full, for a terminal. */
export function explainedText(explained: ExplainedDecision, words: ReasonWords): string {
  const { record, explanation, counterfactual } = explained;
  const enforced = record['enforced'] === false ? ', not enforced' : '';
  const head = `${record.decision}  (HTTP ${get(record, 'http_status') ?? '-'}${enforced})  ${record.decision_id}  ${record.timestamp}`;
  return [
    harmless(head),
    ...section('', whyRows(explained, words)),
    ...section('Who asked', whoRows(record)),
    ...section('What was asked', whatRows(explained)),
    ...section('The record', proofRows(explained)),
    '',
    ...(explanation ? lines(explanationText(explanation)) : policyLines(explained)),
    ...questionLines(explained.question),
    ...(counterfactual ? counterfactualLines(record.decision, counterfactual, words) : []),
    '',
  ].join('\n');
}

function whyRows({ record, origin }: ExplainedDecision, words: ReasonWords): readonly Row[] {
  const meaning = words(record.reason);
  return [
    ['reason', `${record.reason}${meaning === undefined ? '' : `: ${meaning}`}`],
    ['message', get(record, 'message')],
    ['detail', get(record, 'detail')],
    ['cause', get(record, 'cause')],
    ['evidence', get(record, 'evidence')],
    ['stage', `${record.stage}${STAGES[record.stage] === undefined ? '' : `: ${STAGES[record.stage]}`}`],
    ['policies', record.policies.length === 0 ? 'none decided' : record.policies.join(', ')],
    ['not evaluated', listed(record, 'policy_errors')],
    ['from cache', origin && cacheText(record, origin)],
    ['like', likeText(get(record, 'cache.like'))],
  ];
}

function cacheText(record: LogRecord, origin: LogRecord | 'missing'): string {
  const reused = `the answer to ${get(record, 'cache.of')} was reused, ${get(record, 'cache.age_ms')} ms old`;
  if (origin === 'missing') return `${reused}; that decision is not in the log any more`;
  return `${reused}; what follows of Cedar is of that one (record ${get(origin, 'index')})`;
}

function likeText(id: string | undefined): string | undefined {
  return id && `${id}: its policies cannot tell the two questions apart, so what came of that one was taken`;
}

function whoRows(record: LogRecord): readonly Row[] {
  const evidence = get(record, 'source_identity.evidence');
  const by = [evidence && `by ${evidence}`, record['mtls'] === true ? 'over mutual TLS' : undefined];
  const workload = get(record, 'source_identity.spiffe_id');
  return [
    ['user', get(record, 'user')],
    ['token', members(record, 'token')],
    ['workload', workload && `${workload} (${by.filter(Boolean).join(', ')})`],
    ['certificate of', get(record, 'source_identity.certificate_issuer')],
    ['came through', get(record, 'origin_identity.spiffe_id')],
    ['claimed only', listed(record, 'claimed_sources')],
    ['device', members(record, 'device')],
    ['only asserted', listed(record, 'asserted')],
    ['asked by', members(record, 'pep')],
    ['surface', get(record, 'surface')],
  ];
}

function whatRows({ record, origin }: ExplainedDecision): readonly Row[] {
  const from = typeof origin === 'object' ? { ...origin, ...record } : record;
  const http = [get(record, 'method'), get(record, 'path') ?? get(record, 'path_raw')]
    .filter(Boolean)
    .join(' ');
  const host = get(record, 'host');
  return [
    ['request', http === '' ? undefined : `${http}${host === undefined ? '' : ` on ${host}`}`],
    ['destination', get(record, 'destination_identity.spiffe_id')],
    ['binding', get(record, 'binding')],
    ['principal', get(from, 'principal')],
    ['action', get(from, 'action')],
    ['resource', get(from, 'resource')],
    ...valuesAt(from, 'pip').map((pip): Row => ['facts from', members({ pip }, 'pip')]),
    ['trace', get(record, 'trace_id')],
    ['request id', get(record, 'request_id')],
  ];
}

function proofRows({ record, segment, proof, replay, activation }: ExplainedDecision): readonly Row[] {
  return [
    ['record', `${record.index} in ${segment}`],
    ['proof', proofText(proof)],
    ['replay', replayText(replay)],
    ['snapshot', get(record, 'snapshot')],
    [
      'in force since',
      activation ? activationText(activation) : unlessAbsent(record['snapshot'], 'the log does not say'),
    ],
    ['engine', get(record, 'engine')],
    ['latency', `${get(record, 'latency_us') ?? '-'} µs`],
  ];
}

function activationText(activation: LogRecord): string {
  const by = get(activation, 'by');
  return `${get(activation, 'timestamp')}${by === undefined ? '' : `, by ${by}`} (record ${get(activation, 'index')})`;
}

const PROOF_WORDS = {
  proven: 'PROVEN',
  not_sealed: 'NOT SEALED',
  not_checkable: 'NOT CHECKABLE',
  failed: 'FAILED',
};

function proofText({ verdict, because, sealed, identity }: RecordProof): string {
  const when = sealed ? `, checkpoint of ${new Date(sealed.time).toISOString()}` : '';
  const own =
    identity === 'folder'
      ? "; by the folder's own key, which shows only that the log agrees with itself"
      : '';
  return `${PROOF_WORDS[verdict]}: ${because}${when}${own}`;
}

function replayText(verdict: Verdict): string {
  switch (verdict.verdict) {
    case 'MATCH':
      return `MATCH: ${MEANS_WORDS[verdict.by]}`;
    case 'MISMATCH':
      return `MISMATCH: ${verdict.field} was recorded as ${verdict.recorded}, and comes out as ${verdict.replayed}`;
    case 'NOT_REPLAYABLE':
      return `NOT REPLAYABLE: ${WHY_WORDS[verdict.why]}${verdict.about === undefined ? '' : ` (${verdict.about})`}`;
  }
}

/** Where Cedar cannot be asked again, the policies that decided are still worth reading. */
function policyLines({ policies }: ExplainedDecision): readonly string[] {
  if (typeof policies === 'string') return [`The policies cannot be shown: ${policies}.`];
  return policies.flatMap(({ id, effect, file, line, text }) => [
    `Decided by ${effect} ${harmless(id)}  ${harmless(file)}:${line}`,
    ...lines(text).map((each) => `    | ${each}`),
  ]);
}

function questionLines(question: CedarRequest | string | undefined): readonly string[] {
  if (question === undefined) return ['Cedar was not asked.'];
  if (typeof question === 'string') return [`What Cedar was asked cannot be shown: ${question}.`];
  const context = Object.entries(question.context).map(
    ([name, value]) => `  ${name}: ${JSON.stringify(value)}`,
  );
  const entities = question.entities.map(({ uid, attrs, parents }) => {
    const groups = parents.length === 0 ? '' : ` in ${parents.map(uidText).join(', ')}`;
    return `  ${uidText(uid)}${groups} ${JSON.stringify(attrs)}`;
  });
  return ['Context:', ...context, 'Entities:', ...entities].map(harmless);
}

function counterfactualLines(was: string, what: Counterfactual, words: ReasonWords): readonly string[] {
  const ifs = [
    ...what.without.map((id) => `without the policy ${id}`),
    ...what.changes.map(({ path, value }) => `with ${path} = ${JSON.stringify(value)}`),
  ];
  const meaning = words(what.reason);
  const by = what.policies.length === 0 ? '' : ` by ${what.policies.join(', ')}`;
  const changed = was === what.decision ? `still ${what.decision}` : `${what.decision} in place of ${was}`;
  return [
    '',
    harmless(`COUNTERFACTUAL (nobody was ever told this): ${ifs.join(', ')}: ${changed}`),
    ...section('', [
      ['reason', `${what.reason}${meaning === undefined ? '' : `: ${meaning}`}${by}`],
      ['detail', what.detail],
    ]),
    ...(what.explanation ? lines(explanationText(what.explanation)) : []),
  ];
}

function section(title: string, rows: readonly Row[]): readonly string[] {
  const told = rows.flatMap(([name, text]) =>
    text === undefined || text === '' ? [] : [`  ${name.padEnd(15)} ${harmless(text)}`],
  );
  return told.length === 0 || title === '' ? told : [`${title}:`, ...told];
}

function lines(text: string): readonly string[] {
  return text.trimEnd().split('\n').map(harmless);
}

function get(record: LogRecord, path: string): string | undefined {
  const [value] = valuesAt(record, path);
  return value === undefined ? undefined : textOf(value);
}

function listed(record: LogRecord, path: string): string | undefined {
  const values = valuesAt(record, path).map(textOf);
  return values.length === 0 ? undefined : values.join(', ');
}

const UNIX_SECONDS: readonly string[] = ['iat', 'exp'];

/** The members of an object in one line: `state valid, issuer demo`. */
function members(record: LogRecord, path: string): string | undefined {
  const [value] = valuesAt(record, path);
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value)
    .map(([name, member]) => `${name.replaceAll('_', ' ')} ${memberText(name, member)}`)
    .join(', ');
}

function memberText(name: string, value: unknown): string {
  if (typeof value !== 'number') return textOf(value);
  const ms = UNIX_SECONDS.includes(name) ? value * 1000 : name === 'observed_at' ? value : undefined;
  return ms === undefined || Math.abs(ms) > 8.64e15 ? String(value) : new Date(ms).toISOString();
}

function unlessAbsent(value: unknown, text: string): string | undefined {
  return value === undefined ? undefined : text;
}
