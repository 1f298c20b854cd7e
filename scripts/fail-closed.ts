import {
  DEPENDENCIES,
  type Dependency,
  type Ending,
  MATRIX,
  type Row,
  STATUS_OF,
  outcomeOf,
} from '../test/integration/fail-closed/matrix.ts';

/** docs/fail-closed.md, of the table that `test/integration/fail-closed/` runs. */
export function failClosedPage(): string {
  const sections = (Object.keys(DEPENDENCIES) as Dependency[]).map(section);
  return [
    '# What happens when something fails',
    '',
    'Generated from `test/integration/fail-closed/matrix.ts` by `npm run docs`; do not edit. Each line is a test, which makes the fault for real, and asks a',
    'whole decision point over gRPC before and after it: a Redis that is stopped or paused, a server that hangs, refuses, sends a page of HTML or 10 MB,',
    'files that are removed or spoilt, facts that are old.',
    '',
    'Two are asked about: one **who was permitted** because of what the dependency says, and one **who was kept out** because of what it says, by a `forbid`',
    'that names the fact or by a check of evidence, and who would be let in without it. The second one is let in only where the configuration says `omit`;',
    'a `permit` that needs the fact denies there too. A fault that nobody has thought of denies.',
    '',
    ...ENDING_LINES,
    '',
    'Answers are there *at once*, without waiting for what has failed, or when *`timeout_ms`* of the dependency is over, facts after four fifths',
    'of `decision.timeout_ms`, and all else when that is over (`deadline_exceeded`). Of what a fault changes, the record says `detail` in words for operators, or names the source in',
    '`pip`; clients get the public message of the reason ([reasons](reasons.md)) and nothing of either.',
    '',
    ...sections.flat(),
    '## Not in the matrix',
    '',
    '- **No SVID, or no trust bundle, at the start**: the process waits for one and listens nowhere; it is not ready.',
    '- **SPIFFE federation, JWT-SVIDs and rotation under load**: `test/integration/pip/spiffe/` and `test/integration/serve/rotation.test.ts`. What cannot be',
    '  verified is refused.',
    '- **Bundles of policies from a URL**: `test/integration/bundle/`. What is not signed, or older, is refused, and what is in force stays.',
    '- **A disk that is slow** makes answers wait for their records, up to `decision.timeout_ms`.',
    '',
  ].join('\n');
}

const ENDING_LINES: readonly string[] = [
  '| Outcome | Is |',
  '| --- | --- |',
  '| deny | Everybody is denied, with the reason of the fault. |',
  '| as before | What was good last stays in force, for permits and for denies; operators are told. |',
  '| last known | `last_known` says to use what the source said last, for `max_stale_ms`; the record marks it `stale`. |',
  '| missing | `omit` says that policies go on without the fact, which is missing and never false. |',
  '| unrecorded | `audit.on_failure: allow` says to decide without a record. |',
  '| no start | The process says what is wrong and does not start. |',
];

const OUTCOMES: { readonly [ending in Ending]: string } = {
  deny: 'deny',
  as_before: 'as before',
  last_known: 'last known',
  omit: 'missing',
  unrecorded: 'unrecorded',
  no_start: 'no start',
};

function section(dependency: Dependency): string[] {
  const rows = MATRIX.filter((row) => row.dependency === dependency);
  const title = DEPENDENCIES[dependency];
  return [
    `## ${title.charAt(0).toUpperCase()}${title.slice(1)}`,
    '',
    '| Fault | Which is | Configured | Outcome | Who was permitted | Who was kept out | The record says | Answered |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map(line),
    '',
  ];
}

function line(row: Row): string {
  const { fault, made, configured, ending, record, within } = row;
  const outcome = outcomeOf(row);
  const told = outcome
    ? [decision(outcome.permitted), decision(outcome.keptOut), words(row, record), within]
    : ['', '', '', ''];
  return `| ${[fault, made, configured, OUTCOMES[ending], ...told].join(' | ')} |`;
}

function decision(reason: keyof typeof STATUS_OF): string {
  if (reason === 'no connection') return 'no connection';
  return reason === 'permitted' ? '**ALLOW**' : `DENY \`${reason}\`, ${STATUS_OF[reason]}`;
}

function words({ ending, reason }: Row, record: string | undefined): string {
  if (ending === 'unrecorded' || reason === 'audit_unavailable' || reason === 'no connection')
    return 'there is none';
  if (record === undefined) return '';
  return ending === 'deny' ? `\`detail\`: … ${record} …` : `\`pip\`: \`${record}\``;
}
