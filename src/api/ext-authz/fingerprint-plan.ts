/** What becomes of a field when a fingerprint is taken. */
export const REFUSE = 0;
/** It is significant. */
export const COPY = 1;
/** Nobody decides by it. */
export const SKIP = 2;
/** It is a message of which each field is looked at. */
export const WALK = 3;
/** It is a header field, and its name says whether it is significant. */
export const HEADER = 4;

/** What becomes of the fields of one message. */
export interface Plan {
  /** By tag; see {@link treatmentOf}. */
  readonly treatments: Uint8Array;
  /** By tag: plans of the messages that are walked into. */
  readonly parts: ReadonlyMap<number, Plan>;
  /** No other plan has this bit: a message that is walked into is there once. */
  readonly bit: number;
  /** Whether its header fields may have raw values. */
  readonly raw: boolean;
}

/** Wire type of strings, bytes and messages (Protocol Buffers, Encoding). */
export const LEN = 2;
/** Wire type of integers, enums and booleans. */
export const VARINT = 0;

/** Tags of one byte; those of further fields are more than one. */
const ONE_BYTE = 128;

/** Fields with numbers from 16 on are copied, if they are of the wire type of which all that we know of are. */
export function treatmentOf({ treatments }: Plan, tag: number): number {
  if (tag < ONE_BYTE) return treatments[tag] ?? REFUSE;
  return (tag & 7) === LEN ? COPY : REFUSE;
}

/** Field numbers of a message, by what becomes of them; what is not named and LEN is copied, also where we do not know it. */
interface Fields {
  readonly varints?: readonly number[];
  readonly skippedVarints?: readonly number[];
  readonly skipped?: readonly number[];
  readonly walked?: Readonly<Record<number, Plan>>;
  readonly headers?: number;
  readonly raw?: true;
}

let plans = 0;

/** protobufjs goes by the number of a field alone, whatever its wire type: a known field of another one would be read otherwise than walked. */
function planOf({
  varints = [],
  skippedVarints = [],
  skipped = [],
  walked = {},
  headers,
  raw,
}: Fields): Plan {
  const treatments = new Uint8Array(ONE_BYTE).map((_, tag) =>
    (tag & 7) === LEN && tag > LEN ? COPY : REFUSE,
  );
  const parts = new Map<number, Plan>();
  const set = (number: number, type: number, treatment: number): void => {
    treatments.fill(REFUSE, number << 3, (number + 1) << 3);
    treatments[(number << 3) | type] = treatment;
  };
  for (const number of varints) set(number, VARINT, COPY);
  for (const number of skippedVarints) set(number, VARINT, SKIP);
  for (const number of skipped) set(number, LEN, SKIP);
  for (const [number, part] of Object.entries(walked)) {
    set(Number(number), LEN, WALK);
    parts.set((Number(number) << 3) | LEN, part);
  }
  if (headers !== undefined) set(headers, LEN, HEADER);
  return { treatments, parts, bit: 1 << plans++, raw: raw === true };
}

/** `AttributeContext.Peer`, whose ports nobody decides by. */
function peer(): Plan {
  const socketAddress = planOf({ varints: [1, 6], skippedVarints: [3] });
  return planOf({ walked: { 1: planOf({ walked: { 1: socketAddress } }) } });
}

const TIMESTAMP = planOf({ skippedVarints: [1, 2] });
/** `config.core.v3.HeaderMap`: the raw form of the header fields. */
export const RAW_HEADERS: Plan = planOf({ headers: 1, raw: true });
/** `AttributeContext.HttpRequest`, without its `id`. */
const HTTP = planOf({ varints: [9], skipped: [1], headers: 3, walked: { 13: RAW_HEADERS } });
const REQUEST = planOf({ walked: { 1: TIMESTAMP, 2: HTTP } });
const ATTRIBUTES = planOf({ walked: { 1: peer(), 2: peer(), 4: REQUEST } });

/** The plan of `envoy.service.auth.v3.CheckRequest`; field numbers as in docs/conformance.md. */
export const CHECK_REQUEST: Plan = planOf({ walked: { 1: ATTRIBUTES } });
