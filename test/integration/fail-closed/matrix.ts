import type { Reason } from '../../../src/pdp/decision.ts';

/** Kinds of faults (design §4.7). */
export type Fault = 'down' | 'slow' | 'wrong' | 'stale' | 'huge';

/** What a dependency is asked about in the tests; how each is run is in `worlds.ts`. */
export type Dependency =
  | 'static_file'
  | 'redis'
  | 'http'
  | 'scim'
  | 'threats_file'
  | 'threats_url'
  | 'shared_state'
  | 'jwks'
  | 'policies'
  | 'audit'
  | 'trust_files'
  | 'workload_api';

/** What a fault comes to. */
export type Ending =
  /** Every question denies. */
  | 'deny'
  /** The fact is missing: what permits by it denies, what forbids by it does not. */
  | 'omit'
  /** What was known last decides, and the record says that it is stale. */
  | 'last_known'
  /** The version before stays in force: permits and denies are as they were. */
  | 'as_before'
  /** Decisions are as they were, unrecorded. */
  | 'unrecorded'
  /** The process does not start. */
  | 'no_start';

/** By when the answer is there: without waiting for what has failed, or when a limit ends the wait. Tests set the other limits to a minute. */
export type Within = 'at once' | '`timeout_ms`' | '`decision.timeout_ms`';

/** One line of the matrix, which one test runs. */
export interface Row {
  readonly dependency: Dependency;
  readonly fault: Fault;
  /** What the test does. Each is a key of the world of the dependency. */
  readonly made: string;
  /** What the configuration says of it. */
  readonly configured: string;
  readonly ending: Ending;
  /** Of `deny`. */
  readonly reason?: Exclude<keyof typeof STATUS_OF, 'permitted'>;
  /** What is in the record: of `deny` a part of `detail`, else a part of `pip` as JSON. */
  readonly record?: string;
  readonly within: Within;
}

/** Names of dependencies for people. */
export const DEPENDENCIES: { readonly [dependency in Dependency]: string } = {
  static_file: 'facts in a file (`static_file`)',
  redis: 'facts in Redis (`redis`)',
  http: 'facts over HTTP (`http`)',
  scim: 'a SCIM directory (`scim`)',
  threats_file: 'a threat list in a file (`threat_intel`)',
  threats_url: 'a threat list at a URL (`threat_intel`)',
  shared_state: 'revocations in Redis (`shared_state`)',
  jwks: 'the keys of an issuer (`issuers[].jwks.url`)',
  trust_files: 'SVID and trust bundle in files (`spiffe.source: files`)',
  workload_api: 'the Workload API (`spiffe.source: workload_api`)',
  policies: 'the policies (`policies.sets`)',
  audit: 'the disk of the decision log (`audit.dir`)',
};

/** Why those are kept out who are to be, in good order. */
function keptOutBy(dependency: Dependency): Outcome['keptOut'] {
  if (dependency === 'trust_files' || dependency === 'workload_api') return 'no connection';
  if (dependency === 'jwks') return 'token_signature_invalid';
  return dependency === 'shared_state' ? 'token_revoked' : 'policy_forbids';
}

/** The HTTP status of each reason in the matrix, written down apart from the table in `src/api/status.ts`. */
export const STATUS_OF = {
  'no connection': 0,
  permitted: 200,
  no_permit: 403,
  policy_forbids: 403,
  attribute_unavailable: 503,
  attribute_refused: 403,
  audit_unavailable: 503,
  deadline_exceeded: 503,
  state_unavailable: 503,
  token_revoked: 401,
  token_signature_invalid: 401,
  token_unverifiable: 401,
} as const satisfies Partial<Record<Reason | 'no connection', number>>;

/** What those are told who are permitted in good order, and those who are kept out; `undefined`: nobody is told anything. */
export interface Outcome {
  readonly permitted: keyof typeof STATUS_OF;
  readonly keptOut: keyof typeof STATUS_OF;
}

/** What a row comes to. */
export function outcomeOf({ dependency, ending, reason }: Row): Outcome | undefined {
  switch (ending) {
    case 'deny':
      return { permitted: reason ?? 'permitted', keptOut: reason ?? 'permitted' };
    case 'omit':
      return { permitted: 'no_permit', keptOut: 'permitted' };
    case 'last_known':
    case 'as_before':
    case 'unrecorded':
      return { permitted: 'permitted', keptOut: keptOutBy(dependency) };
    case 'no_start':
      return undefined;
  }
}

interface RemoteFault {
  readonly fault: Fault;
  readonly made: string;
  readonly detail: string;
  readonly within: Within;
}

const REMOTE: { readonly [dependency in 'redis' | 'http' | 'scim']: readonly RemoteFault[] } = {
  redis: [
    { fault: 'down', made: 'the server is stopped', detail: 'is not connected', within: 'at once' },
    // Of a Redis that is paused the client may say that it was too slow, or that the connection was given up.
    { fault: 'slow', made: 'the server is paused', detail: 'directory: ', within: '`timeout_ms`' },
    { fault: 'wrong', made: 'the value is not JSON', detail: 'the value is not JSON', within: 'at once' },
    { fault: 'huge', made: 'the value is 10 MB long', detail: 'longer than', within: 'at once' },
  ],
  http: [
    { fault: 'down', made: 'the server is stopped', detail: 'refused the connection', within: 'at once' },
    { fault: 'slow', made: 'the server hangs', detail: 'did not answer within', within: '`timeout_ms`' },
    { fault: 'wrong', made: 'the answer is a page of HTML', detail: 'JSON', within: 'at once' },
    { fault: 'wrong', made: 'the answer is status 500', detail: '500', within: 'at once' },
    { fault: 'huge', made: 'the answer is 10 MB long', detail: 'answered with more than', within: 'at once' },
  ],
  scim: [
    { fault: 'down', made: 'the server is stopped', detail: 'refused the connection', within: 'at once' },
    { fault: 'slow', made: 'the server hangs', detail: 'did not answer within', within: '`timeout_ms`' },
    { fault: 'wrong', made: 'the answer is a page of HTML', detail: 'JSON', within: 'at once' },
    {
      fault: 'wrong',
      made: 'the answer is about somebody else',
      detail: 'not the one that was asked for',
      within: 'at once',
    },
    { fault: 'huge', made: 'the answer is 10 MB long', detail: 'answered with more than', within: 'at once' },
  ],
};

const UNAVAILABLE = 'attribute_unavailable';
const WRONG_TYPE = 'the attribute is a number, the schema says String';
const LATER = '`timeout_ms` is more than `decision.timeout_ms`';
const OLD = 'observed two hours ago, `@max_age("1h")`';
const ABOUT_ONE = 'the answer about one user is wrong, and another is asked about';
const NO_ADDRESS = 'the request comes from no address';

function remoteRows(dependency: 'redis' | 'http' | 'scim'): Row[] {
  const rows = REMOTE[dependency].flatMap(({ fault, made, detail, within }): Row[] => {
    const common = { dependency, fault, made };
    return [
      { ...common, configured: 'deny', ending: 'deny', reason: UNAVAILABLE, record: detail, within },
      { ...common, configured: 'omit', ending: 'omit', record: '"status":"omitted"', within },
      {
        ...common,
        configured: 'last_known',
        ending: 'last_known',
        record: '"stale":true',
        within: 'at once',
      },
    ];
  });
  const [down] = REMOTE[dependency];
  return [
    ...rows,
    {
      dependency,
      fault: 'stale',
      made: down?.made ?? '',
      configured: 'last_known, `max_stale_ms` is over',
      ending: 'deny',
      reason: UNAVAILABLE,
      record: 'nothing is known',
      within: 'at once',
    },
    // The connection of a Redis that hangs is dropped, so that the next question fails at once.
    ...(dependency === 'redis' ? [] : deadlineRows(dependency)),
    ...typeRows(dependency, ['deny', 'omit', 'last_known']),
    ...keptRows(dependency, [['wrong', ABOUT_ONE]], 'deny'),
    // SCIM does not say when the directory observed what it says.
    ...(dependency === 'scim' ? [] : oldRows(dependency, ['deny', 'omit', 'last_known'])),
  ];
}

/** A check does not wait to its end: what the failure of the source means has to be done before. */
function deadlineRows(dependency: 'http' | 'scim'): Row[] {
  const slow = REMOTE[dependency].find(({ fault }) => fault === 'slow');
  const common = {
    dependency,
    fault: 'slow',
    made: slow?.made ?? '',
    within: '`decision.timeout_ms`',
  } as const;
  const record = 'did not answer in the time that the check has';
  return [
    { ...common, configured: `deny, ${LATER}`, ending: 'deny', reason: UNAVAILABLE, record },
    { ...common, configured: `omit, ${LATER}`, ending: 'omit', record: '"status":"omitted"' },
  ];
}

/** A value that the engine would not take says that the source is wrong, so that what it said last is no help. */
function typeRows(dependency: Dependency, modes: readonly ('deny' | 'omit' | 'last_known')[]): Row[] {
  return modes.map((configured): Row => {
    const common = { dependency, fault: 'wrong', made: WRONG_TYPE, configured, within: 'at once' } as const;
    return configured === 'omit'
      ? { ...common, ending: 'omit', record: '"department":"wrong_type"' }
      : { ...common, ending: 'deny', reason: 'attribute_refused', record: "'department' is a long" };
  });
}

/** What must be known must not be too old: a `forbid` would open for a fact that has grown old. */
function oldRows(dependency: Dependency, modes: readonly ('deny' | 'omit' | 'last_known')[]): Row[] {
  return modes.map((configured): Row => {
    const common = { dependency, fault: 'stale', made: OLD, configured, within: 'at once' } as const;
    return configured === 'omit'
      ? { ...common, ending: 'omit', record: '"department":"too_old"' }
      : { ...common, ending: 'deny', reason: 'attribute_refused', record: "'department' was observed 720" };
  });
}

function keptRows(
  dependency: Dependency,
  faults: readonly (readonly [Fault, string])[],
  configured: string,
): Row[] {
  return faults.map(([fault, made]) => ({
    dependency,
    fault,
    made,
    configured,
    ending: 'as_before',
    within: 'at once',
  }));
}

function refusedStarts(dependency: Dependency, faults: readonly (readonly [Fault, string])[]): Row[] {
  return faults.map(([fault, made]) => ({
    dependency,
    fault,
    made,
    configured: 'at the start',
    ending: 'no_start',
    within: 'at once',
  }));
}

function threatRows(dependency: 'threats_file' | 'threats_url', made: string): Row[] {
  const common = { dependency, fault: 'stale', made, within: 'at once' } as const;
  return [
    {
      ...common,
      configured: 'deny, `max_age_s` is over',
      ending: 'deny',
      reason: UNAVAILABLE,
      record: 'was last confirmed',
    },
    { ...common, configured: 'omit, `max_age_s` is over', ending: 'omit', record: '"status":"omitted"' },
  ];
}

/** A point that is asked about addresses cannot be asked. */
function addressRows(dependency: Dependency): Row[] {
  const common = { dependency, fault: 'wrong', made: NO_ADDRESS, within: 'at once' } as const;
  const record = 'does not say from which address';
  return [
    { ...common, configured: 'deny', ending: 'deny', reason: UNAVAILABLE, record },
    { ...common, configured: 'omit', ending: 'omit', record: '"status":"omitted"' },
  ];
}

const WITHIN_AGE = '`max_age_s` is not over';
const WITHIN_CEILING = '`stale_ceiling_ms` is not over';

const LOST = '`on_lost: deny`, `deny_after_ms` is over';

function sharedStateRows(): Row[] {
  const lost = (fault: Fault, made: string, record = 'revocations may have been missed'): Row => ({
    dependency: 'shared_state',
    fault,
    made,
    configured: LOST,
    ending: 'deny',
    reason: 'state_unavailable',
    record,
    within: 'at once',
  });
  const faults = [
    ['down', 'the server is stopped'],
    ['slow', 'the server is paused'],
  ] as const;
  return [
    ...keptRows('shared_state', faults, '`deny_after_ms` is not over'),
    ...faults.map(([fault, made]) => lost(fault, made)),
    ...keptRows('shared_state', faults, '`on_lost: last_known`, `deny_after_ms` is over'),
    lost('down', 'the server is not there at the start', 'revocations were never read'),
    ...keptRows('shared_state', [['wrong', 'the server has forgotten everything']], 'any'),
  ];
}

function trustRows(): Row[] {
  const expired = (dependency: Dependency, made: string): Row => ({
    dependency,
    fault: 'stale',
    made,
    configured: 'any',
    ending: 'deny',
    reason: 'no connection',
    within: 'at once',
  });
  const files = [
    ['down', 'the trust bundle is removed'],
    ['wrong', 'the trust bundle is no bundle'],
    ['wrong', 'the trust bundle holds no authority'],
    ['huge', 'the trust bundle is 10 MB long'],
    ['wrong', 'the key is not that of the certificate'],
  ] as const;
  return [
    ...keptRows('trust_files', files, 'any'),
    expired('trust_files', 'the SVID expires and no other comes'),
    ...keptRows(
      'workload_api',
      [
        ['down', 'the agent is stopped'],
        ['wrong', 'the agent sends an SVID without its key'],
      ],
      'the SVID is not expired',
    ),
    expired('workload_api', 'the agent is stopped, and the SVID expires'),
  ];
}

/** The matrix: what the tests of `matrix.test.ts` run, and what docs/fail-closed.md says. */
export const MATRIX: readonly Row[] = [
  ...keptRows(
    'static_file',
    [
      ['down', 'the file is removed'],
      ['wrong', 'the file is not JSON any more'],
    ],
    'any',
  ),
  ...refusedStarts('static_file', [
    ['down', 'the file is not there'],
    ['wrong', 'the file is not JSON'],
  ]),
  ...typeRows('static_file', ['deny', 'omit']),
  ...oldRows('static_file', ['deny', 'omit']),
  ...remoteRows('redis'),
  ...remoteRows('http'),
  ...remoteRows('scim'),
  ...keptRows(
    'threats_file',
    [
      ['down', 'the file is removed'],
      ['wrong', 'a line is no entry'],
      ['wrong', 'the list is empty'],
      ['huge', 'the list is longer than `max_bytes`'],
      ['huge', 'the list has more entries than `max_entries`'],
    ],
    WITHIN_AGE,
  ),
  ...threatRows('threats_file', 'the file is removed'),
  ...addressRows('threats_file'),
  ...refusedStarts('threats_file', [
    ['down', 'the file is not there'],
    ['wrong', 'a line is no entry'],
    ['huge', 'the list is longer than `max_bytes`'],
  ]),
  ...keptRows(
    'threats_url',
    [
      ['down', 'the server is stopped'],
      ['slow', 'the server hangs'],
      ['wrong', 'the answer is a page of HTML'],
      ['huge', 'the list is longer than `max_bytes`'],
    ],
    WITHIN_AGE,
  ),
  ...threatRows('threats_url', 'the server is stopped'),
  {
    dependency: 'threats_url',
    fault: 'down',
    made: 'the server is not there at the start',
    configured: 'deny',
    ending: 'deny',
    reason: UNAVAILABLE,
    record: 'has never been had',
    within: 'at once',
  },
  ...sharedStateRows(),
  ...keptRows(
    'jwks',
    [
      ['down', 'the server is stopped'],
      ['slow', 'the server hangs'],
      ['wrong', 'the answer is a page of HTML'],
      ['huge', 'the answer is 10 MB long'],
    ],
    WITHIN_CEILING,
  ),
  {
    dependency: 'jwks',
    fault: 'stale',
    made: 'the server is stopped',
    configured: '`stale_ceiling_ms` is over',
    ending: 'deny',
    reason: 'token_unverifiable',
    record: 'keys',
    within: 'at once',
  },
  {
    dependency: 'jwks',
    fault: 'down',
    made: 'the server is not there at the start',
    configured: 'any',
    ending: 'deny',
    reason: 'token_unverifiable',
    record: 'keys',
    within: 'at once',
  },
  ...trustRows(),
  ...keptRows(
    'policies',
    [
      ['down', 'the folder is removed'],
      ['wrong', 'a policy does not parse'],
      ['wrong', 'a policy does not fit the schema'],
    ],
    'any',
  ),
  ...refusedStarts('policies', [
    ['down', 'the folder is not there'],
    ['wrong', 'a policy that does not parse'],
  ]),
  {
    dependency: 'audit',
    fault: 'down',
    made: 'a file is in the place of the folder, and a new segment is due',
    configured: '`audit.on_failure: deny`',
    ending: 'deny',
    reason: 'audit_unavailable',
    within: 'at once',
  },
  {
    dependency: 'audit',
    fault: 'down',
    made: 'a file is in the place of the folder, and a new segment is due',
    configured: '`audit.on_failure: allow`',
    ending: 'unrecorded',
    within: 'at once',
  },
];
