/** What each option does, by the way that usages write it. */
const WORDS: Readonly<Record<string, string>> = {
  '--access-log FILE': "compare with Envoy's access log (JSON lines with `decision_id`)",
  '--all': 'also those of others that you may approve',
  '--break-glass': 'take it at once, in an emergency: nobody approves, and everybody hears of it',
  '--check': 'change nothing; exit with 1 where a file is not formatted',
  '--config FILE': 'the configuration (-c); else PDP_CONFIG, else pdp.yaml in the working directory',
  '--coverage': 'tell which policies no test has decided',
  '--device ID': 'the `device_id` in the token',
  '--digest DIGEST': 'only where the policies that come in force are these; else exit with 1',
  '--dry-run': 'change nothing; tell what would be',
  '--filter TEXT': 'only tests whose name holds TEXT',
  '--for TIME': 'how long: 30m, 1h, 1h30m',
  '--force': 'overwrite files that are there',
  '--html FILE': 'write a report as a page that needs nothing else',
  '--http HOST:PORT': 'where the HTTP surface listens; as configured unless given',
  '--json': 'print JSON',
  '--lift': 'end a shut-off; what was void stays void',
  '--list': 'list what is in force, in place of changing it',
  '--justification TEXT': 'why it is needed; it is recorded',
  '--junit FILE': 'write a JUnit report',
  '--key-file FILE': 'a further key of pseudonyms that the log was written with',
  '--lifetime SECONDS': 'how long the token is valid; a negative one has expired',
  '--mfa': 'the user has authenticated with a second factor',
  '--min-coverage N': 'exit with 1 where tests decide fewer than N percent of the policies',
  '--namespace NAME': 'the Cedar namespace; made of the title of the document unless given',
  '--openapi FILE': 'the OpenAPI 3 document',
  '--ops HOST:PORT': 'where the ops surface listens; as configured unless given',
  '--out DIR': 'write files into this folder, in place of printing them',
  '--out FILE': 'the file to write',
  '--out PREFIX': 'beginning of the names of both files',
  '--reason TEXT': 'why; it is recorded',
  '--revision N': 'a whole number, higher than that of what servers hold',
  '--scope NAME': 'what it is for: a scope of `grants` in the configuration',
  '--scope "WORDS"': 'the `scope` in the token',
  '--server[=HOST:PORT]': 'ask a running server whose gRPC surface is plaintext; 127.0.0.1:9191 unless given',
  '--shut-off': 'refuse everything of it, in place of what was issued until now; for workloads always so',
  '--sign KEYFILE': 'sign with this Ed25519 private key (PEM)',
  '--state STATE': 'only those: requested, approved, ended, revoked, denied or expired',
  '--subject KIND:ID': 'whose data: user:staff/alice, device:mdm/laptop-7, Clinic::Patient:p-17',
  '--ticket TEXT': 'the ticket that it is about',
  '--token TOKEN': 'send this user token',
  '--token-file FILE': 'file with the admin token; as configured unless given',
  '--token-file TOKENFILE': 'file with your token, which says who asks',
  '--user NAME': 'the `sub` in the token',
  '--checkpoint FILE':
    'a checkpoint of this log that you have kept elsewhere, to see that the log goes on from it',
  '--decision ID': 'one decision, by its id',
  '--evidence FILE': 'check a file that `pdp audit export --decision` has made, in place of a log',
  '--from TIME': 'only from then on: 2026-11-22, or 2026-11-22T10:00:00Z',
  '--ocsf': 'every decision as an OCSF 1.8 event (API Activity), one JSON object per line',
  '--to TIME': 'only before then',
  '--vkey KEY':
    "the log's verifier key (`pdp audit key`), as text or in a file, that you did not get from the log itself",
  '--count-by FIELD': 'how many there are of each value of a field, in place of the records',
  '--follow': 'go on with what is written from now on, until stopped (-f)',
  '--limit N': 'at most so many, the first ones',
  '--set PATH=VALUE': 'what if context.PATH, principal.PATH or resource.PATH had been this; may be repeated',
  '--sql QUERY': 'a SELECT over the views of docs/audit-views.md; needs DuckDB',
  '--without-policy ID': 'what if this policy had not been there; may be repeated',
  '--watch': 'run again on every change, until stopped',
  '--policies DIR': 'a folder of the new policies; several are one set, as for `pdp policy validate`',
  '--facts FACTS':
    'frozen: as recorded (unless given); current: what information points give is asked for now',
  '--fail-on BUCKETS':
    'exit with 1 where one of these is not empty, 3 where that cannot be told: gained,revoked,reclassified',
  '--since TIME': 'only from so long ago on: 2h, 7d',
  '--jobs N': 'threads that share the work; as many as there are cores unless given',
  '-n N': 'how many of the last ones; 10 unless given',
  '--no-memo': 'evaluate every question, equal ones too',
  '--sample SHARE': 'only this share of the decisions: 0.01',
};

const OPTION = /(?:--[a-z-]+|(?<=\[)-[a-z](?= [A-Z]))(?:\[=[^\]]+\])?(?: (?:"[^"]+"|[A-Z][A-Z:=]*))?/g;

/** A line for each option that a usage names, in its order; an option without words is a mistake in the table above. */
export function optionLines(usage: string): string[] {
  const options = [...new Set(usage.match(OPTION))];
  const width = Math.max(...options.map(({ length }) => length));
  return options.map((option) => `${option.padEnd(width)}  ${WORDS[option] ?? ''}`.trimEnd());
}
