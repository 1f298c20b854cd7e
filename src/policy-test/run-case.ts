import type { TraceExplainer } from '../pdp/explain/explain-trace.ts';
import { explanationText } from '../pdp/explain/explanation-text.ts';
import { type Decision, type DenyReason } from '../pdp/decision.ts';
import { uidText } from '../pdp/evaluation.ts';
import { InputError, PdpError } from '../pdp/errors.ts';
import type { WorkloadAuthenticator } from '../pdp/ports.ts';
import { decideCase } from './decide-case.ts';
import type { PolicySet } from './policy-set.ts';
import type { CaseResult, Mismatch, Outcome } from './report.ts';
import type { CedarCase, RequestCase, TestCase } from './test-case.ts';

/** What tests borrow from the rest of the program, so that they say what a client would get. */
export interface PolicyTestParts {
  readonly workload: WorkloadAuthenticator;
  httpStatus(decision: Decision): number;
  /** The public words for a reason where no policy has its own. */
  message(reason: DenyReason): string;
}

/** Runs one test. Throws `InputError` where the case itself cannot be used. */
export async function runCase(
  set: PolicySet,
  test: TestCase,
  parts: PolicyTestParts,
  explainer: TraceExplainer,
): Promise<CaseResult> {
  const started = performance.now();
  const result =
    test.form === 'cedar' ? runCedarCase(set, test) : await runRequestCase(set, test, parts, explainer);
  return {
    name: test.name,
    file: test.file,
    form: test.form,
    passed: result.mismatches.length === 0,
    ...result,
    durationMs: performance.now() - started,
  };
}

type Ran = Pick<CaseResult, 'outcome' | 'mismatches' | 'request' | 'explanation'>;

async function runRequestCase(
  set: PolicySet,
  test: RequestCase,
  parts: PolicyTestParts,
  explainer: TraceExplainer,
): Promise<Ran> {
  const trace = await decideCase(test, set.snapshot, parts.workload);
  const outcome = outcomeOf(trace.decision, parts);
  const { expect } = test;
  const advice =
    expect.advice === undefined ? undefined : adviceText(expect.advice?.kind, expect.advice?.acr_values);
  const expected: [string, string | undefined, string | undefined][] = [
    ['decision', expect.decision, outcome.decision],
    ['reason', expect.reason, outcome.reason],
    ['policies', idsText(expect.policies), idsText(outcome.policies)],
    ['message', expect.message, outcome.message],
    ['detail', expect.detail, outcome.detail],
    ['http_status', expect.http_status?.toString(), outcome.httpStatus?.toString()],
    ['advice', advice, outcome.advice ?? 'none'],
  ];
  const compared = expected.flatMap(([field, wanted, actual = 'none']) => compare(field, wanted, actual));
  const needed = compared.length > 0 || expect.explanation !== undefined;
  const explained = needed ? explainer.explain(trace) : undefined;
  const explanation = explained && explanationText(explained);
  return {
    outcome,
    mismatches: [...compared, ...missingWords(expect.explanation, explanation)],
    ...(explanation !== undefined && { explanation }),
    ...(trace.cedar && { request: trace.cedar }),
  };
}

function missingWords(expected: readonly string[] | undefined, explanation: string | undefined): Mismatch[] {
  const missing = (expected ?? []).filter((words) => !explanation?.includes(words));
  const actual = explanation === undefined ? 'none' : 'the explanation below';
  return missing.map((words) => ({ field: 'explanation', expected: words, actual }));
}

function compare(field: string, expected: string | undefined, actual: string): Mismatch[] {
  return expected === undefined || expected === actual ? [] : [{ field, expected, actual }];
}

function outcomeOf(decision: Decision, parts: PolicyTestParts): Outcome {
  const { reason, policies } = decision;
  const common = { reason, policies, httpStatus: parts.httpStatus(decision) };
  if (decision.verdict === 'permit') return { decision: 'ALLOW', ...common };
  const { detail, advice } = decision;
  return {
    decision: 'DENY',
    ...common,
    message: decision.message ?? parts.message(decision.reason),
    ...(detail !== undefined && { detail }),
    ...(advice && { advice: adviceText(advice.kind, advice.acrValues) }),
  };
}

function adviceText(kind: string | undefined, acrValues: string | undefined): string {
  return [kind ?? 'none', acrValues].filter((word) => word !== undefined).join(' ');
}

function idsText(ids: readonly string[] | undefined): string | undefined {
  return ids && (ids.length === 0 ? 'none' : ids.toSorted().join(', '));
}

/** `cedar run-tests`: Cedar's own verdict, the reasons a subset, the errors counted; the set's static entities are there too. */
function runCedarCase(set: PolicySet, test: CedarCase): Ran {
  const own = new Set(test.request.entities.map((entity) => uidText(entity.uid)));
  const fixed = set.entities.filter((entity) => !own.has(uidText(entity.uid)));
  const request = { ...test.request, entities: [...test.request.entities, ...fixed] };
  try {
    const { verdict, policies, errors } = set.snapshot.evaluate(request);
    const decision = verdict === 'permit' ? 'ALLOW' : 'DENY';
    const missing = test.expect.reason.filter((id) => !policies.includes(id));
    return {
      request,
      outcome: { decision, policies, errors: errors.length },
      mismatches: [
        ...compare('decision', test.expect.decision, decision),
        ...(missing.length === 0
          ? []
          : [{ field: 'reason', expected: missing.join(', '), actual: idsText(policies) ?? 'none' }]),
        ...compare('num_errors', String(test.expect.errors), String(errors.length)),
      ],
    };
  } catch (error) {
    if (error instanceof InputError || !(error instanceof PdpError)) throw error;
    const detail = error.message;
    const mismatch = { field: 'decision', expected: test.expect.decision, actual: 'not evaluated' };
    return { outcome: { decision: 'DENY', policies: [], detail }, mismatches: [mismatch] };
  }
}
