import { z } from 'zod';
import { fetchUrlProblem } from '../pdp/fetch-url.ts';
import { file, name, refusing } from './parts.ts';

const limits = {
  name: name.meta({ description: 'Name of the list, as it stands in `threats`.' }),
  max_age_s: z
    .int()
    .min(1)
    .default(86_400)
    .meta({ description: 'How long the list may be used after its source last confirmed it. In s.' }),
  max_entries: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(1_000_000)
    .meta({ description: 'A list with more entries is refused.' }),
  max_bytes: z
    .int()
    .min(1)
    .max(268_435_456)
    .default(67_108_864)
    .meta({ description: 'A list with more bytes is refused.' }),
  may_be_empty: z
    .boolean()
    .default(false)
    .meta({ description: 'Whether a list without entries is taken; else it is refused.' }),
};

const List = z.union([
  z.strictObject({
    ...limits,
    file: file('The list. Looked at for changes as often as `refresh_ms` says.'),
    refresh_ms: z.int().min(10).default(1_000).meta({ description: 'Between looks. In ms.' }),
  }),
  z.strictObject({
    ...limits,
    url: z
      .string()
      .superRefine(refusing(fetchUrlProblem))
      .meta({ description: 'The list; https, or http to a loopback address.' }),
    token_file: file('File with a bearer token for the URL; read for every question.').optional(),
    refresh_ms: z
      .int()
      .min(10)
      .default(300_000)
      .meta({ description: 'Between questions; after a failure a second at first. In ms.' }),
    timeout_ms: z.int().min(1).default(10_000).meta({ description: 'Limit on one whole answer. In ms.' }),
  }),
]);

/** A `threat_intel` point of `pips`. */
export const ThreatPip = z.strictObject({
  kind: z.literal('threat_intel').meta({
    description: 'Lists of addresses or ids in memory. Gives `threats`: the lists that the subject is on.',
  }),
  name: name.meta({ description: 'Name in records and messages.' }),
  subject: z
    .enum(['ip', 'workload', 'user', 'device'])
    .meta({ description: 'What its lists are about; `ip` is the address of the client.' }),
  on_failure: z
    .enum(['deny', 'omit'])
    .default('deny')
    .meta({ description: 'What it means that a list may not be used: deny, or go on without `threats`.' }),
  fresh_ms: z
    .int()
    .min(1)
    .max(86_400_000)
    .default(30_000)
    .meta({ description: 'How long an answer may be used. In ms.' }),
  lists: z
    .array(List)
    .min(1)
    .max(64)
    .superRefine((lists, context) => {
      for (const [index, { name }] of lists.entries())
        if (lists.findIndex((list) => list.name === name) < index)
          context.addIssue({ code: 'custom', path: [index, 'name'], message: 'is the name of another list' });
    })
    .meta({ description: 'The lists.' }),
});

/** An information point, as far as it may give `threats`. */
interface PointOfThreats {
  readonly kind: string;
  readonly name: string;
  readonly subject: string;
  readonly gives?: readonly string[];
}

/**
 * Why a point may not stand beside those before it: what was observed last has the word on an attribute, so that the lists of one point would
 * hide those of another.
 */
export function threatsProblem(point: PointOfThreats, before: readonly PointOfThreats[]): string | undefined {
  if (!givesThreats(point)) return undefined;
  const other = before.find((one) => one.subject === point.subject && givesThreats(one));
  if (!other || (point.kind !== 'threat_intel' && other.kind !== 'threat_intel')) return undefined;
  return `'${other.name}' gives threats of the same subject: put all lists into one point, for one would hide the other`;
}

function givesThreats({ kind, gives = [] }: PointOfThreats): boolean {
  return kind === 'threat_intel' || gives.includes('threats');
}
