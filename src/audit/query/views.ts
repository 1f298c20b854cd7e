/** A column: its name, its type in DuckDB, and what it holds. */
type Column = readonly [name: string, type: string, about: string];

/** A view over the records of a log. */
interface View {
  readonly name: string;
  readonly about: string;
  /** The kind of its records. */
  readonly kind: string;
  readonly columns: readonly Column[];
}

const HEAD: readonly Column[] = [
  ['v', 'INTEGER', 'version of the record format'],
  ['kind', 'VARCHAR', 'kind of the record'],
  ['log', 'VARCHAR', 'origin name of the log'],
  ['index', 'BIGINT', 'position in the log'],
  ['timestamp', 'TIMESTAMPTZ', 'when it arrived or happened'],
];

const DECISIONS: readonly Column[] = [
  ['decision_id', 'VARCHAR', 'UUIDv7'],
  ['decision', 'VARCHAR', 'ALLOW or DENY'],
  ['enforced', 'BOOLEAN', 'whether somebody acts on it'],
  ['shadow_of', 'VARCHAR', 'id of the decision that was answered, where this one was made in shadow'],
  ['explained', 'BOOLEAN', 'an explanation was asked for'],
  ['batch', 'VARCHAR', 'id of the batch that it came in'],
  ['asserted', 'VARCHAR[]', 'what only the caller says'],
  ['reason', 'VARCHAR', 'docs/reasons.md'],
  ['message', 'VARCHAR', 'what the client was told'],
  ['detail', 'VARCHAR', 'what only operators are told'],
  ['cause', 'VARCHAR', 'what was wrong with evidence that was refused'],
  ['evidence', 'VARCHAR', 'its fingerprint'],
  ['policies', 'VARCHAR[]', 'the policies that decided, sorted'],
  ['policy_errors', 'VARCHAR[]', 'policies that could not be evaluated'],
  ['stage', 'VARCHAR', 'last stage that ran'],
  ['surface', 'VARCHAR', 'where it was asked'],
  [
    'source_identity',
    'JSON',
    'spiffe_id, trust_domain, namespace, service_account, evidence, certificate_issuer',
  ],
  ['origin_identity', 'JSON', 'the workload behind a gateway'],
  ['claimed_sources', 'VARCHAR[]', 'sources that were claimed and not proven'],
  ['source_certificate', 'VARCHAR', 'fingerprint'],
  ['destination_identity', 'JSON', 'spiffe_id'],
  ['mtls', 'BOOLEAN', 'whether the source proved its SPIFFE ID by mutual TLS'],
  ['method', 'VARCHAR', 'of the HTTP request'],
  ['path', 'VARCHAR', 'canonical, without query'],
  ['path_raw', 'VARCHAR', 'as sent, where it differs'],
  ['host', 'VARCHAR', 'canonical'],
  ['user', 'VARCHAR', '<issuer name>/<sub>'],
  ['device', 'JSON', 'id, evidence, observed_at, left_out'],
  ['token', 'JSON', 'state, issuer, sub, kid, alg, jti, iat, exp, bound, act'],
  ['principal', 'VARCHAR', 'Cedar uid'],
  ['action', 'VARCHAR', 'Cedar uid'],
  ['resource', 'VARCHAR', 'Cedar uid'],
  ['binding', 'VARCHAR', 'id of the binding that the request met'],
  ['question', 'VARCHAR', 'digest, where the question is not in the line'],
  ['context', 'JSON', 'the context, or its digest'],
  ['entities', 'VARCHAR[]', 'digests'],
  ['pip', 'JSON', 'where facts came from'],
  ['accepts_tokens', 'BOOLEAN', 'only where nobody was identified'],
  ['snapshot', 'VARCHAR', 'digest of the policies'],
  ['engine', 'VARCHAR', 'name and version'],
  ['cache', 'JSON', 'hit, of, age_ms, like'],
  ['http_status', 'INTEGER', 'what the client got'],
  ['pep', 'JSON', 'address, spiffe_id, application'],
  ['trace_id', 'VARCHAR', 'W3C'],
  ['span_id', 'VARCHAR', 'W3C'],
  ['request_id', 'VARCHAR', 'x-request-id'],
  ['cluster', 'VARCHAR', 'of this server'],
  ['region', 'VARCHAR', 'of this server'],
  ['latency_us', 'BIGINT', 'from arrival to conclusion'],
  ['withheld', 'VARCHAR', 'digest of what privacy keeps out of the line'],
  ['truncated', 'BOOLEAN', 'policies that decided are missing from the line'],
];

const VIEWS: readonly View[] = [
  { name: 'decisions', about: 'One row per answer.', kind: 'decision', columns: DECISIONS },
  {
    name: 'gaps',
    about: 'Records that could not be written.',
    kind: 'gap',
    columns: [
      ['count', 'BIGINT', 'how many'],
      ['reason', 'VARCHAR', 'error codes'],
      ['since', 'TIMESTAMPTZ', 'first failure'],
    ],
  },
  {
    name: 'policy_activations',
    about: 'Policies that came into force.',
    kind: 'policy_activated',
    columns: [
      ['digest', 'VARCHAR', 'of the policies, as `snapshot` of decisions'],
      ['before', 'VARCHAR', 'those in force until then'],
      ['slot', 'VARCHAR', 'where they were loaded'],
      ['by', 'VARCHAR', 'who or what activated them'],
      ['policies', 'BIGINT', 'how many'],
    ],
  },
  {
    name: 'heartbeats',
    about: 'Signs of life.',
    kind: 'heartbeat',
    columns: [
      ['uptime_s', 'BIGINT', 'seconds since the boot'],
      ['lost', 'BIGINT', 'records lost since the boot'],
    ],
  },
];

/** What the views read: the files of a log, and of which time. */
export interface ViewSource {
  /** Paths as SQL list, e.g. `['a.ndjson','b.ndjson.gz']`. */
  readonly files: string;
  /** SQL condition on `timestamp`; `true`: the whole log. */
  readonly condition: string;
}

/**
 * The statements that define the views. Every column has its type whatever the records hold; lines that are no records, or half ones, are
 * left out.
 */
export function viewStatements(source: ViewSource): readonly string[] {
  return [recordsView(source), ...VIEWS.map((view) => viewStatement(view, source))];
}

/** The page `docs/audit-views.md`, which documents the views; written by `npm run docs`. */
export function viewsPage(): string {
  const statements = viewStatements({ files: "'segment-*.ndjs*[nz]'", condition: 'true' });
  return [
    '# The views of `pdp audit query --sql`',
    '',
    'Generated from `src/audit/query/views.ts` by `npm run docs`; do not edit.',
    '',
    'These are the views that [`--sql`](audit-log.md#query) has. The same statements work in the DuckDB shell, in the folder of a log, where no',
    'segment is being compressed meanwhile. Types are the same whatever the records hold; what a record does not have is NULL. Nested values are',
    "JSON: `source_identity->>'namespace'`, `list_contains(policies, 'reports.hold')`. Lines that are no records are left out:",
    '`pdp audit verify` tells of them.',
    '',
    '```sql',
    statements.map((statement) => `${statement};`).join('\n\n'),
    '```',
    '',
  ].join('\n');
}

function viewStatement({ name, about, kind, columns }: View, { files, condition }: ViewSource): string {
  const all = [...HEAD, ...columns];
  const types = all.map(([column, type, what]) => `    ${quoted(column)}: '${type}', -- ${what}`);
  return [
    `-- ${about}`,
    `CREATE VIEW ${name} AS SELECT * EXCLUDE (kind) FROM read_json(${files},`,
    `  format = 'newline_delimited', ignore_errors = true, columns = {`,
    ...types,
    `  }) WHERE kind = '${kind}' AND ${condition}`,
  ].join('\n');
}

function recordsView({ files, condition }: ViewSource): string {
  const columns = HEAD.map(([name, type]) => `  TRY_CAST(json->>'$.${name}' AS ${type}) AS ${quoted(name)},`);
  return [
    '-- Every record, whole: `record` is its JSON.',
    'CREATE VIEW records AS SELECT * FROM (SELECT',
    ...columns,
    `  json AS record FROM read_ndjson_objects(${files}, ignore_errors = true)`,
    `  ) WHERE kind IS NOT NULL AND ${condition}`,
  ].join('\n');
}

function quoted(name: string): string {
  return `"${name}"`;
}
