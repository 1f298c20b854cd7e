/** A class of flaws that were published against decision points and the proxies that ask them. */
export interface FlawClass {
  readonly number: number;
  readonly title: string;
  /** CVE and advisory ids. */
  readonly advisories: readonly string[];
  /** What we do about it. */
  readonly defence: string;
  /** Where the tests must be: Envoy where Envoy passes on what the flaw is about. */
  readonly surfaces: readonly Surface[];
  /** Why there is no test through Envoy, where there is none. */
  readonly withoutEnvoy?: string;
}

/** What a test goes through: the PDP's own gRPC listener, or a real Envoy in front of it. */
export type Surface = 'gRPC' | 'Envoy';

const BOTH: readonly Surface[] = ['gRPC', 'Envoy'];
const GRPC: readonly Surface[] = ['gRPC'];

/** The published flaws that an ext_authz decision point must not repeat. `docs/security-tests.md` is generated from them. */
export const FLAW_CLASSES: readonly FlawClass[] = [
  {
    number: 1,
    title: "a path that a URL library takes for an authority: '//'",
    advisories: ['CVE-2026-26205', 'CVE-2023-33189'],
    defence:
      'The path is split by hand; no URL library sees it. An empty segment and an absolute-form target are ambiguous.',
    surfaces: BOTH,
  },
  {
    number: 2,
    title: 'a query left in the path',
    advisories: ['CVE-2026-32811', 'CVE-2025-54576', 'CVE-2020-8595'],
    defence:
      "The path ends at the first '?', before anything is compared; the query is neither matched nor recorded.",
    surfaces: BOTH,
  },
  {
    number: 3,
    title: 'dot segments',
    advisories: ['CVE-2026-42274', 'CVE-2026-33494', 'CVE-2019-9901', 'CVE-2024-10005'],
    defence: "A '.' or '..' segment is ambiguous, however it is encoded. Nothing is folded.",
    surfaces: BOTH,
  },
  {
    number: 4,
    title: 'encoded slashes and backslashes, merged slashes, case of escapes',
    advisories: ['CVE-2026-42272', 'CVE-2021-29492', 'CVE-2021-31920'],
    defence:
      "An encoded separator and a raw '\\' are ambiguous, and so is an escape of an escape. Escapes have one case, and what may stand unescaped does: one form for each resource.",
    surfaces: BOTH,
  },
  {
    number: 5,
    title: "path parameters: ';', '/..;/'",
    advisories: ['CVE-2026-73511', 'CVE-2026-73551', 'CVE-2026-73553'],
    defence: "A ';' in the path, raw or encoded, is ambiguous.",
    surfaces: BOTH,
  },
  {
    number: 6,
    title: "fragments: '#'",
    advisories: ['CVE-2021-32779', 'CVE-2021-39156', 'CVE-2026-41059'],
    defence: "A '#' in path or query, and an encoded one in the path, is ambiguous.",
    surfaces: BOTH,
  },
  {
    number: 7,
    title: 'case, port, trailing dot and user information of the host',
    advisories: ['CVE-2021-39155', 'CVE-2026-42273'],
    defence:
      'Lower case, without default port and one trailing dot; whatever is no plain name or address is ambiguous, and so is a `host` that says something else.',
    surfaces: BOTH,
  },
  {
    number: 8,
    title: "a path without leading '/', and other spellings of gRPC methods",
    advisories: ['CVE-2026-33186'],
    defence: 'A path starts with `/`; that of a gRPC request is exactly `/package.Service/Method`.',
    surfaces: BOTH,
  },
  {
    number: 9,
    title: 'duplicate and joined header fields',
    advisories: ['CVE-2021-32777', 'CVE-2026-26308', 'CVE-2026-31838'],
    defence:
      'Raw fields are read where they are sent. A field that proves something may be there once: two, two joined by `,`, or one in each form are a conflict.',
    surfaces: BOTH,
  },
  {
    number: 10,
    title: 'underscores and other spellings of header names',
    advisories: ['CVE-2025-64484', 'CVE-2026-33433', 'CVE-2026-54763', 'CVE-2024-10006'],
    defence:
      "Names are lower-case tokens. A name that '_' folded to '-' makes another one that is there, that we read, or that belongs to the proxy or to us, is ambiguous.",
    surfaces: BOTH,
  },
  {
    number: 11,
    title: 'trust in forwarded and hop-by-hop headers',
    advisories: [
      'CVE-2026-40575',
      'CVE-2026-57210',
      'CVE-2026-33495',
      'CVE-2023-27487',
      'CVE-2024-7207',
      'GHSA-w9mr-28mw-j8hg',
    ],
    defence:
      'No header is the method, the path, the host, the address or an identity. A `connection` that has a later hop take out other fields is ambiguous.',
    surfaces: BOTH,
  },
  {
    number: 12,
    title: 'bypass for health checks and known user agents',
    advisories: ['CVE-2026-34457'],
    defence:
      'Nothing in a request switches the decision off; our own health is another service and another port.',
    surfaces: BOTH,
  },
  {
    number: 13,
    title: 'NUL and control bytes',
    advisories: ['CVE-2019-9900', 'CVE-2025-66220', 'CVE-2026-47778'],
    defence: 'A control character in path, host, header name or identity is refused, encoded or not.',
    surfaces: BOTH,
  },
  {
    number: 14,
    title: 'bytes that are not UTF-8, and letters that fold to others',
    advisories: ['CVE-2023-27488', 'CVE-2026-73552', 'CVE-2026-40574'],
    defence:
      'Paths, hosts and names are ASCII; case is folded for A to Z alone and nothing is normalised. Where Envoy has repaired bytes, the raw field decides.',
    surfaces: BOTH,
  },
  {
    number: 15,
    title: 'malformed answers and failure_mode_allow',
    advisories: ['CVE-2024-23324', 'CVE-2026-54762'],
    defence:
      'Every call that reaches us gets a well-formed answer, a deny where nothing else is known. `failure_mode_allow: false` is for the operator to set: nothing on the wire says which it is.',
    surfaces: BOTH,
  },
  {
    number: 16,
    title: 'CONNECT, upgrades and early data',
    advisories: ['CVE-2025-64763', 'CVE-2026-73548', 'CVE-2026-73547', 'CVE-2026-73550'],
    defence:
      'CONNECT and upgrades are denied unless `decision.upgrades` lists the protocol; an empty path is no path.',
    surfaces: BOTH,
  },
  {
    number: 17,
    title: 'SAN type confusion and TLS resumption',
    advisories: ['CVE-2022-21656', 'CVE-2022-21654'],
    defence:
      'Only a SPIFFE ID in a URI SAN is an identity, and principal and certificate must agree. Sessions are not resumed.',
    surfaces: BOTH,
  },
  {
    number: 18,
    title: 'unanchored and unescaped patterns',
    advisories: ['CVE-2026-39350', 'ISTIO-SECURITY-2026-006'],
    defence:
      'There are no regular expressions in configuration or policies: identities are compared whole, and in a `like` only `*` is special.',
    surfaces: GRPC,
    withoutEnvoy:
      'The flaw is in what an operator writes, not in what a request holds: there is no pattern in configuration or policies for Envoy to pass anything to. Paths and hosts that look like patterns are text (classes 1 to 8 go through Envoy).',
  },
  {
    number: 19,
    title: 'a matcher that is not supported and therefore ignored',
    advisories: ['GHSA-hrxh-6v49-42gf'],
    defence:
      'An unknown key in configuration or bindings, and a policy that does not fit the schema, refuse to load.',
    surfaces: GRPC,
    withoutEnvoy:
      'It is a matter of starting up: a PDP that does not start is asked by nobody. Where none answers, Envoy denies (class 15).',
  },
  {
    number: 20,
    title: 'collisions of cache keys',
    advisories: [
      'CVE-2024-56323',
      'CVE-2026-33729',
      'CVE-2026-41131',
      'CVE-2026-48096',
      'CVE-2026-34972',
      'CVE-2026-46668',
      'CVE-2026-33496',
      'CVE-2026-71326',
    ],
    defence: 'The key is a hash over an injective encoding of everything that the engine is told.',
    surfaces: BOTH,
  },
  {
    number: 21,
    title: 'cached results that skip checks',
    advisories: ['GHSA-qvp4-rpmr-xwrr', 'CVE-2021-41230'],
    defence:
      'Only evaluations and signatures are remembered; expiry, audience and keys are looked at for every answer.',
    surfaces: BOTH,
  },
  {
    number: 22,
    title: 'an optional audience',
    advisories: ['CVE-2026-55689'],
    defence:
      'An issuer without an audience is refused at start, a token for another audience with every check.',
    surfaces: BOTH,
  },
  {
    number: 23,
    title: 'fetching keys as a way in',
    advisories: ['CVE-2026-41413', 'CVE-2025-64527'],
    defence:
      'URLs of keys come from the configuration alone, never from a token: https, no redirects, a limit on size. What was not fetched verifies nothing.',
    surfaces: GRPC,
    withoutEnvoy:
      'Keys are fetched over connections of our own, which do not go through Envoy; a token that names its key reaches us as any other bearer token does (class 22).',
  },
  {
    number: 24,
    title: 'administration within reach of the data plane',
    advisories: ['CVE-2024-47616', 'CVE-2022-24797', 'CVE-2025-46569'],
    defence:
      'Administration has a socket of its own and changes nothing without a token. Text of a request is data to the engine, never part of a query.',
    surfaces: GRPC,
    withoutEnvoy:
      'Envoy has no route to the port of the administration, nor to any method but `Check`: whoever has a client certificate for the port asks it directly, and so does the test.',
  },
  {
    number: 25,
    title: 'exhaustion of resources',
    advisories: [
      'CVE-2025-25207',
      'CVE-2025-25208',
      'CVE-2026-47774',
      'CVE-2026-21717',
      'CVE-2026-21714',
      'CVE-2026-48937',
    ],
    defence:
      'Messages, paths, header fields, tokens, nesting and values have limits; what is beyond them is denied. A message of any method, those that anybody may call too, ends in time or its stream does.',
    surfaces: BOTH,
  },
  {
    number: 26,
    title: 'prototype pollution by protobuf or JSON',
    advisories: ['CVE-2023-36665'],
    defence:
      'Names from outside are keys of maps or of objects without prototype; `__proto__` and the keys that mean something to Cedar are refused in JSON.',
    surfaces: BOTH,
  },
  {
    number: 27,
    title: 'an identity that leaks from one route or request to another',
    advisories: ['GHSA-mvgg-jvj2-4frq'],
    defence:
      'An identity is that of one request; nothing is kept by connection or stream, and the route is in the key.',
    surfaces: BOTH,
  },
  {
    number: 28,
    title: 'decisions on a truncated body',
    advisories: ['x-envoy-auth-partial-body'],
    defence: 'No policy can read a body, and none is recorded: whether it is whole does not matter.',
    surfaces: BOTH,
  },
];
