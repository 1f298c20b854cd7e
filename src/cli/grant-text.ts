import { isRecord } from '../pdp/external-json.ts';

/** What a server said of a grant, for people. */
export function grantText(value: unknown): string {
  const grant = fieldsOf(value);
  const end = fieldsOf(grant['end']);
  const rows: readonly (readonly [string, string])[] = [
    ['grant', textOf(grant['id'])],
    ['state', stateText(grant)],
    ['user', textOf(grant['user'])],
    ['scope', `${textOf(grant['scope'])}${grant['break_glass'] === true ? ', GLASS BROKEN' : ''}`],
    ['for', `${textOf(grant['duration_s'])} s`],
    ['until', textOf(grant['expires_at'])],
    ['why', textOf(grant['justification'])],
    ['ticket', textOf(grant['ticket'])],
    ['ended by', textOf(end['by'])],
    ['because', textOf(end['reason'])],
  ];
  return rows.flatMap(([name, text]) => (text === '' ? [] : `${name.padEnd(9)}${text}\n`)).join('');
}

/** What a server listed, as a table. */
export function grantTable(value: unknown): string {
  const { grants, truncated } = fieldsOf(value);
  const rows = (Array.isArray(grants) ? grants : []).map(fieldsOf);
  if (rows.length === 0) return 'no grants\n';
  const head = ['GRANT', 'STATE', 'USER', 'SCOPE', 'UNTIL', 'WHY'];
  const cells = rows.map((grant) => [
    textOf(grant['id']),
    stateText(grant),
    textOf(grant['user']),
    `${textOf(grant['scope'])}${grant['break_glass'] === true ? ' !' : ''}`,
    textOf(grant['expires_at']) || '-',
    textOf(grant['justification']),
  ]);
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return (
    [head, ...cells].map((row) => `${line(row)}\n`).join('') + (truncated === true ? 'There are more.\n' : '')
  );
}

function stateText(grant: Fields): string {
  const state = textOf(grant['state']);
  const { approvals, approvals_needed: needed } = grant;
  if (state !== 'requested' || !Array.isArray(approvals)) return state;
  return `${state} (${approvals.length} of ${textOf(needed)} approvals)`;
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return isRecord(value) ? value : {};
}

/** People wrote some of it: nothing in it may steer the terminal. */
function textOf(value: unknown): string {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD');
}
