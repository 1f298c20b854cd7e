import { SUBJECT_KINDS } from '../pdp/subject-key.ts';
import { type Command, EXIT, type Terminal, parseCommandArgs, positionals } from './command.ts';
import { badUsage } from './ask-server.ts';
import { durationSeconds } from './duration.ts';
import { OPS_OPTIONS, type OpsOptions, askOps } from './ops-client.ts';

const OPTIONS = {
  ...OPS_OPTIONS,
  reason: { type: 'string' },
  'shut-off': { type: 'boolean' },
  for: { type: 'string' },
  lift: { type: 'boolean' },
  list: { type: 'boolean' },
} as const;

/** What the server says of one revocation. */
interface Shown {
  readonly effect: string;
  readonly subjects: readonly { readonly kind: string; readonly id: string }[];
  readonly at: string;
  readonly until?: string;
  readonly source: string;
  readonly reason?: string;
  /** Checks that it has refused on the replica that was asked; in lists. */
  readonly refused?: number;
  readonly last_refused?: string;
}

interface Page {
  readonly in_force: number;
  /** `null`: nothing was ever read. */
  readonly lag_ms: number | null;
  readonly revocations: readonly Shown[];
  readonly next?: string;
}

/**
 * `pdp revoke`: has a running server void what was issued to a subject, shut the subject off, or end that; and says what is in force then.
 * Exits with 1 where there is nothing to lift.
 */
export const revoke: Command = {
  name: 'revoke',
  usage:
    'KIND ID --reason TEXT [--shut-off] [--for TIME] [--lift] [--list] [--config FILE] [--ops HOST:PORT] [--token-file FILE] [--json]',
  summary: `void what was issued to a subject, or shut it off, on every replica; KIND: ${SUBJECT_KINDS.join(', ')}`,
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, OPTIONS);
    if (values.list) {
      positionals(rest);
      return await list(values, terminal);
    }
    const [kind = '', id = ''] = positionals(rest, 'KIND', 'ID');
    const body = { subject: { kind, id }, ...actionOf(kind, values), reason: values.reason };
    if (values.reason === undefined) throw badUsage('--reason', 'is needed: it is recorded');
    const answer = await ask('/revocations', values, terminal, body);
    if ('exit' in answer) return answer.exit;
    const changed = answer.value as { readonly in_force: readonly Shown[] };
    terminal.out(
      values.json ? `${JSON.stringify(changed)}\n` : changeText(changed.in_force, `${kind} ${id}`),
    );
    return EXIT.ok;
  },
};

function ask(path: string, options: OpsOptions, terminal: Terminal, body?: object) {
  return askOps(path, options, terminal, body, ({ revocation }) => revocation.admin_token_file);
}

interface Chosen {
  readonly 'shut-off'?: boolean | undefined;
  readonly for?: string | undefined;
  readonly lift?: boolean | undefined;
}

/** A workload holds nothing that could be void: for it, to revoke is to shut off. */
function actionOf(kind: string, { 'shut-off': shutOff, for: time, lift }: Chosen) {
  if (lift) {
    if (shutOff || time !== undefined)
      throw badUsage('--lift', 'does not go together with --shut-off and --for');
    return { action: 'restore' };
  }
  if (!shutOff && time === undefined && kind !== 'workload') return { action: 'revoke' };
  return { action: 'shut_off', ...(time !== undefined && { for_s: durationSeconds(time, '--for') }) };
}

async function list(
  values: OpsOptions & { readonly json?: boolean | undefined },
  terminal: Terminal,
): Promise<number> {
  const all: Shown[] = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const query: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
    const answer = await ask(`/revocations?limit=1000${query}`, values, terminal);
    if ('exit' in answer) return answer.exit;
    const page = answer.value as Page;
    all.push(...page.revocations);
    after = page.next;
    if (after === undefined && page.lag_ms !== 0)
      terminal.err(`pdp: changes of other replicas may have been missed ${lagWords(page.lag_ms)}\n`);
  }
  const text = all.length === 0 ? 'nothing is revoked\n' : all.map((one) => `${lineOf(one)}\n`).join('');
  terminal.out(values.json ? `${JSON.stringify(all)}\n` : text);
  return EXIT.ok;
}

function lagWords(lagMs: number | null): string {
  return lagMs === null ? 'since the start' : `for ${lagMs} ms`;
}

function changeText(inForce: readonly Shown[], subject: string): string {
  if (inForce.length === 0) return `${plain(subject)}: nothing is in force any more\n`;
  return `in force:\n${inForce.map((one) => `  ${lineOf(one)}\n`).join('')}`;
}

function lineOf(shown: Shown): string {
  const { effect, subjects, at, until, source, reason } = shown;
  const who = subjects.map(({ kind, id }) => `${kind} ${id}`).join(' with ');
  const what =
    effect === 'revoked'
      ? `what was issued before ${at} is void`
      : `shut off since ${at}${until === undefined ? '' : ` until ${until}`}`;
  return plain(
    `${who}: ${what}, by ${source}${reason === undefined ? '' : ` (${reason})`}${refusedText(shown)}`,
  );
}

/** Nothing refused may be a name that nobody has. */
function refusedText({ refused, last_refused: last }: Shown): string {
  if (refused === undefined) return '';
  return `; refused here: ${refused}${last === undefined ? '' : `, last at ${last}`}`;
}

/** Names come from tokens and events: nothing in them may steer the terminal. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD');
}
