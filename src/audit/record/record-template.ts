import type { Decision } from '../../pdp/decision.ts';
import type { RecentAnswer } from '../../pdp/recent-answers.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { integerOrAbsent, timestampText } from './json-value.ts';
import type { RecordParts } from './record.ts';

/** The line of an answer that was given before: what stands between the members that change. */
type Template = readonly string[];

/** Templates by surface and by which of the members that may be absent are there. */
type Forms = Map<string, Template | undefined>;

/** What a line holds of one call and not of the question. */
interface Changing {
  readonly id: string;
  readonly receivedAt: number;
  /** Of an answer that was given before. */
  readonly ageMs: number | undefined;
  readonly address: string;
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  readonly requestId: string | undefined;
  readonly latencyUs: number;
}

/** Values that no line holds by itself, in the order of the members. */
const MARKS = {
  id: '\u{f0001}',
  receivedAt: Date.UTC(1970, 5, 6, 7, 8, 9, 123),
  ageMs: 7_000_000_000_000_001,
  address: '\u{f0002}',
  traceId: '\u{f0003}',
  spanId: '\u{f0004}',
  requestId: '\u{f0005}',
  latencyUs: 7_000_000_000_000_003,
} as const satisfies Changing;

/** Text that JSON writes as it is, and that no record cuts. */
const PLAIN = /^[\w.:+/=%[\]-]{1,64}$/;

/** UTF-16 units of the longest line with marks that has a template: with any values it is not cut. */
const MAX_LENGTH = 20_000;

/**
 * Makes the lines of answers that were given before, and of those that were turned away, from what `whole` wrote of a first one: the members that belong to the one call are put
 * in, everything else is text already. Byte for byte it is what `whole` would have written.
 */
export class RecordTemplates {
  readonly #whole: (trace: DecisionTrace) => RecordParts;
  readonly #repeated = new WeakMap<RecentAnswer, Forms>();
  /** By decision, then by the workload that asks where it has one. */
  readonly #turnedAway = new WeakMap<Decision, WeakMap<object, Forms>>();

  constructor(whole: (trace: DecisionTrace) => RecordParts) {
    this.#whole = whole;
  }

  /** The tail of the line; `undefined`: it has to be written out. */
  tail(trace: DecisionTrace): string | undefined {
    const known = this.#formsOf(trace);
    const values = known && changing(trace);
    if (!known || !values) return undefined;
    const present = (values.traceId === undefined ? 0 : 1) + (values.requestId === undefined ? 0 : 2);
    const form = `${trace.surface} ${present}`;
    if (!known.has(form)) known.set(form, this.#make(trace, values));
    const template = known.get(form);
    return template && filled(template, texts(values));
  }

  /** The lines of all traces that have the same ones differ in nothing but {@link Changing}. */
  #formsOf(trace: DecisionTrace): Forms | undefined {
    const { recent, decision, pep } = trace;
    if (recent) return isRepeated(trace, recent) ? kept(this.#repeated, recent, newForms) : undefined;
    if (!isTurnedAway(trace)) return undefined;
    const byWorkload = kept(this.#turnedAway, decision, () => new WeakMap<object, Forms>());
    return kept(byWorkload, pep.workload ?? decision, newForms);
  }

  /** `undefined` where the line cannot be put together again. What belongs to one record alone, as a blob of its own, has no template. */
  #make(trace: DecisionTrace, values: Changing): Template | undefined {
    const marked = this.#whole(markedTrace(trace, presentMarks(values)));
    if (marked.blobs.length > 0 || marked.tail.length > MAX_LENGTH) return undefined;
    const template = cut(marked.tail, texts(presentMarks(values)));
    return template && filled(template, texts(values)) === this.#whole(trace).tail ? template : undefined;
  }
}

function newForms(): Forms {
  return new Map();
}

function kept<K extends object, V>(all: WeakMap<K, V>, key: K, make: () => V): V {
  let value = all.get(key);
  if (value === undefined) all.set(key, (value = make()));
  return value;
}

/** Whether nothing is known of it but its call, and its caller by the workload. */
function isTurnedAway({ turnedAway, stage, batch, explained, pep }: DecisionTrace): boolean {
  const about = batch ?? explained ?? pep.application;
  return turnedAway === true && stage === 'decode' && about === undefined;
}

/** Whether nothing but its call tells this answer from the first one. */
function isRepeated(trace: DecisionTrace, recent: RecentAnswer): boolean {
  const { decision, stage, refused, enforced, shadowOf, explained, batch } = trace;
  const about = refused ?? enforced ?? shadowOf ?? explained ?? batch;
  return decision === recent.decision && stage === 'evaluate' && about === undefined;
}

function changing({
  id,
  receivedAt,
  cache,
  pep: { address },
  trace,
  requestId,
  latencyUs,
}: DecisionTrace): Changing | undefined {
  const ageMs = cache?.hit === true ? integerOrAbsent(cache.ageMs) : undefined;
  const latency = integerOrAbsent(latencyUs);
  const { traceId, spanId } = trace ?? {};
  if ((cache && ageMs === undefined) || latency === undefined || !PLAIN.test(id) || !PLAIN.test(address))
    return undefined;
  if (!isPlainOrAbsent(traceId) || !isPlainOrAbsent(spanId) || !isPlainOrAbsent(requestId)) return undefined;
  return { id, receivedAt, ageMs, address, traceId, spanId, requestId, latencyUs: latency };
}

function isPlainOrAbsent(text: string | undefined): boolean {
  return text === undefined || PLAIN.test(text);
}

function presentMarks({ ageMs, traceId, requestId }: Changing): Changing {
  return {
    ...MARKS,
    ageMs: ageMs === undefined ? undefined : MARKS.ageMs,
    traceId: traceId === undefined ? undefined : MARKS.traceId,
    spanId: traceId === undefined ? undefined : MARKS.spanId,
    requestId: requestId === undefined ? undefined : MARKS.requestId,
  };
}

function markedTrace(trace: DecisionTrace, marks: Changing): DecisionTrace {
  const { id, receivedAt, ageMs, address, traceId, spanId, requestId, latencyUs } = marks;
  const { cache, pep } = trace;
  return {
    ...trace,
    id,
    receivedAt,
    latencyUs,
    ...(cache?.hit === true && ageMs !== undefined && { cache: { ...cache, ageMs } }),
    pep: { ...pep, address },
    ...(traceId !== undefined && spanId !== undefined && { trace: { traceId, spanId } }),
    ...(requestId !== undefined && { requestId }),
  };
}

/** Cuts a line at the marks. `undefined` where one is not there exactly once. */
function cut(line: string, marks: readonly string[]): Template | undefined {
  const parts: string[] = [];
  let rest = line;
  for (const mark of marks) {
    const [before, after, ...more] = rest.split(mark);
    if (before === undefined || after === undefined || more.length > 0) return undefined;
    parts.push(before);
    rest = after;
  }
  return [...parts, rest].map(compact);
}

/** The same text in one byte for each character where it can be: the marks cannot, and what is cut from a text is kept as that is. */
function compact(text: string): string {
  return Buffer.from(text).toString();
}

/** The members as they stand in a line, in their order. */
function texts(values: Changing): readonly string[] {
  const { id, receivedAt, ageMs, address, traceId, spanId, requestId, latencyUs } = values;
  const all = [
    id,
    timestampText(receivedAt),
    ageMs === undefined ? undefined : `${ageMs}`,
    address,
    traceId,
    spanId,
    requestId,
    `${latencyUs}`,
  ];
  return all.filter((text) => text !== undefined);
}

function filled(template: Template, values: readonly string[]): string {
  let line = template[0] ?? '';
  for (let index = 0; index < values.length; index++) line += `${values[index]}${template[index + 1]}`;
  return line;
}
