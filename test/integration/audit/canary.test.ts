import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { loadDecisionServiceTypes } from '../../../src/api/protos.ts';
import { runPdp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { filesIn } from '../../support/files-in.ts';
import { type PdpProcess, startPdp } from '../../support/pdp-process.ts';
import { DASHBOARD_APP, EXT_AUTHZ_TYPES, REPORTS_API, checkRequestBytes } from '../../support/requests.ts';
import { createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { POLICIES } from '../../support/snapshot.ts';

/** Stands for every secret: whoever finds it anywhere has found a leak. */
const CANARY = 'CANARY';

const TYPES = loadDecisionServiceTypes();

/** An HTTP server that keeps what it is sent, and says `answer`. */
async function receiver(answer: object) {
  const seen: string[] = [];
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk));
    request.on('end', () => {
      seen.push(Buffer.concat(chunks).toString('latin1'));
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  };
  const server = createServer(handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, seen: () => seen.join('\n'), calls: () => seen.length };
}

/** Every file of the log, decompressed, by name. */
async function logFiles(dir: string): Promise<Record<string, string>> {
  const texts = (await filesIn(dir)).map(
    ({ name, bytes }) =>
      [name, (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1')] as const,
  );
  return Object.fromEntries(texts);
}

/** Expects neither marked text nor any part of a token in any place. */
function expectNowhere(places: Readonly<Record<string, string>>, tokens: readonly string[]): void {
  const parts = tokens.flatMap((token) => token.split('.')).filter((part) => part.length > 8);
  for (const [place, text] of Object.entries(places)) {
    const lines = text.split('\n').filter((line) => line.includes(CANARY));
    expect({ place, lines }).toEqual({ place, lines: [] });
    expect({ place, leaks: parts.filter((part) => text.includes(part)) }).toEqual({ place, leaks: [] });
  }
}

/** Headers with a secret in each that may hold one, and in some that may not. */
const SECRETS: readonly (readonly [string, string])[] = [
  ['cookie', `session=${CANARY}-cookie`],
  ['set-cookie', `session=${CANARY}-set`],
  ['proxy-authorization', `Basic ${CANARY}-proxy`],
  ['x-api-key', `${CANARY}-key`],
  ['x-forwarded-client-cert', `Hash=0;Subject="${CANARY}-xfcc"`],
  ['x-device-assertion', `${CANARY}.device.assertion`],
  ['dpop', `${CANARY}.dpop.proof`],
  ['referer', `https://h/?${CANARY}`],
  ['traceparent', `00-${CANARY}`],
  ['tracestate', `vendor=${CANARY}-state`],
  ['baggage', `user=${CANARY}-baggage`],
  ['x-b3-traceid', `${CANARY}-b3`],
];

const PATHS = [
  '/api/reports/quarterly',
  `/api/reports/quarterly?q=${CANARY}-query`,
  `/a/../b?q=${CANARY}-query`,
  `/a;${CANARY}-parameter`,
  `/a%3Btoken=${CANARY}-parameter`,
  `/a%253ftoken=${CANARY}-query`,
  `/a#${CANARY}-fragment`,
  `https://user:${CANARY}-password@host/`,
];

interface World {
  readonly pdp: PdpProcess;
  readonly authorizations: readonly string[];
  readonly answers: unknown[];
}

/** Envoy asks: good and bad tokens, on every path, and messages that are none. */
async function askExtAuthz({ pdp, authorizations, answers }: World): Promise<void> {
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const metadata = {
    traceparent: `00-${CANARY}`,
    tracestate: `a=${CANARY}`,
    'x-secret': CANARY,
    authorization: `Bearer ${CANARY}`,
  };
  const routes = { source: DASHBOARD_APP, destination: REPORTS_API, method: 'GET' };
  for (const authorization of authorizations) {
    for (const path of PATHS) {
      const headers = [...SECRETS, ['authorization', authorization] as const];
      for (const given of [headers, [['authorization', authorization] as const]]) {
        const contextExtensions = { secret: CANARY };
        const bytes = checkRequestBytes({ ...routes, path, headers: given, sni: CANARY, contextExtensions });
        answers.push(await client.check(bytes, { metadata }));
      }
    }
  }
  const odd: readonly (readonly [string, string])[][] = [
    [...SECRETS, ['authorization', `Bearer ${CANARY}`], ['authorization', `Bearer ${CANARY}-2`]],
    [[`${CANARY} header`, CANARY]],
    [
      ['x_device_assertion', CANARY],
      ['x-device-assertion', CANARY],
    ],
  ];
  for (const headers of odd) answers.push(await client.check(checkRequestBytes({ ...routes, headers })));
  answers.push(await client.check(checkRequestBytes({ ...routes, host: `user:${CANARY}@host` })));
  const { CheckRequest } = EXT_AUTHZ_TYPES;
  const http = {
    method: 'POST',
    path: '/x',
    host: 'h',
    body: CANARY,
    rawBody: Buffer.from(CANARY),
    query: CANARY,
    fragment: CANARY,
  };
  const fields = { secret: { stringValue: CANARY } };
  const attributes = { request: { http }, metadataContext: { filterMetadata: { any: { fields } } } };
  answers.push(
    await client.check(Buffer.from(CheckRequest.encode(CheckRequest.fromObject({ attributes })).finish())),
  );
  answers.push(await client.check(Buffer.from(`${CANARY} bytes that are no message`)));
}

const QUESTION = {
  subject: { type: 'User', id: 'corp/alice', properties: { password: `${CANARY}-property` } },
  action: { name: 'GET', properties: { secret: `${CANARY}-action` } },
  resource: {
    type: 'Service',
    id: 'spiffe://prod.example.com/ns/a/sa/b',
    properties: { key: `${CANARY}-resource` },
  },
  context: { authorization: `Bearer ${CANARY}-context` },
};

/** Applications ask over gRPC: plainly, in batches, for explanations, and nonsense. */
async function askService({ pdp, authorizations, answers }: World): Promise<void> {
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const { context: _context, ...plain } = QUESTION;
  const uids = {
    subject: { type: 'User', id: 'corp/alice' },
    action: { name: 'GET' },
    resource: { type: 'Service', id: 'x' },
  };
  const bytesOf = [
    ['Check', TYPES.CheckRequest.encode(TYPES.CheckRequest.fromObject(uids)).finish()],
    [
      'BatchCheck',
      TYPES.BatchCheckRequest.encode(TYPES.BatchCheckRequest.fromObject({ items: [uids, uids] })).finish(),
    ],
    ['Explain', TYPES.ExplainRequest.encode(TYPES.ExplainRequest.fromObject({ check: uids })).finish()],
    ['Check', Buffer.from(`${CANARY} nonsense`)],
    ['Explain', Buffer.from(JSON.stringify(plain))],
    [`${CANARY}Method`, Buffer.alloc(0)],
  ] as const;
  for (const authorization of authorizations) {
    const metadata = {
      authorization,
      cookie: CANARY,
      tracestate: CANARY,
      'x-token': CANARY,
      traceparent: CANARY,
    };
    for (const [method, bytes] of bytesOf) {
      const path = `/pdp.v1.DecisionService/${method}`;
      const answer = await client
        .unary(path, Buffer.from(bytes), { metadata })
        .catch((error: unknown) => error);
      // grpc-js tells the caller the path that it called itself.
      if (!method.includes(CANARY))
        answers.push(answer instanceof Error ? answer.message : (answer as Buffer).toString('latin1'));
    }
  }
}

/** Applications ask over HTTP, operators use what they may and what they may not, and somebody sends nonsense. */
async function askHttp({ pdp, authorizations, answers }: World, adminToken: string): Promise<void> {
  const [http, ops] = [`http://127.0.0.1:${pdp.httpPort}`, `http://127.0.0.1:${pdp.opsPort}`];
  const bodies = [
    JSON.stringify(QUESTION),
    JSON.stringify({ evaluations: [QUESTION, {}], options: { secret: CANARY } }),
    JSON.stringify({ ...QUESTION, subject: { type: 'User', id: CANARY.repeat(400) } }).slice(0, 600),
    `{"${CANARY}`,
    CANARY,
    `{"subjects":[{"kind":"user","id":"corp/alice"}],"action":"${CANARY}"}`,
  ];
  const paths = [
    '/access/v1/evaluation',
    '/access/v1/evaluations',
    '/access/v1/search/subject',
    '/.well-known/authzen-configuration',
    '/grants',
    '/events/none',
    '/nowhere',
  ];
  const told = async (url: string, authorization: string, body?: string): Promise<void> => {
    const headers = { ...Object.fromEntries(SECRETS), authorization, 'content-type': 'application/json' };
    const answer = await fetch(`${url}?token=${CANARY}`, {
      headers,
      ...(body !== undefined && { method: 'POST', body }),
    });
    answers.push([...answer.headers].join(), await answer.text());
  };
  for (const authorization of authorizations) {
    for (const path of paths) {
      await told(http + path, authorization);
      for (const body of bodies) await told(http + path, authorization, body);
    }
  }
  for (const authorization of [...authorizations, `Bearer ${adminToken}`]) {
    for (const path of ['/revocations', '/policies/promote', '/policies', '/livez', '/nowhere']) {
      await told(ops + path, authorization);
      for (const body of bodies.slice(-3)) await told(ops + path, authorization, body);
    }
  }
}

const PRIVACY = ['without pseudonyms', 'with pseudonyms'] as const;

test.each(PRIVACY)(
  'no secret of any input reaches any output, %s',
  async (privacy) => {
    const folder = await mkdtemp(join(tmpdir(), 'pdp-canary-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
    const facts = await receiver({ groups: [], note: `${CANARY}-unmapped-fact` });
    const traces = await receiver({});
    const common = { issuer: 'https://idp.example', audience: 'pdp' };
    const [issuer, stranger] = [await createTestIssuer(common), await createTestIssuer(common)];
    const apps = await createTestIssuer({ ...common, issuer: 'https://apps.example' });
    const adminToken = `${CANARY}-admin-token-that-is-long-enough-to-be-taken`;
    const files = {
      'jwks.json': JSON.stringify(issuer.jwks),
      'apps.json': JSON.stringify(apps.jwks),
      admin: adminToken,
      pip: `${CANARY}-pip-token`,
      header: `${CANARY}-pip-header`,
    };
    for (const [name, text] of Object.entries(files))
      await writeFile(join(folder, name), text, { mode: 0o600 });
    const secrets = { amr: ['pwd', 'mfa'], unmapped: `${CANARY}-claim`, nested: { deep: `${CANARY}-deep` } };
    const tokens = [
      await issuer.sign(secrets),
      await apps.sign({ sub: 'shop', secret: `${CANARY}-of-the-application` }),
      await stranger.sign(secrets),
      await issuer.sign({ ...secrets, iat: 1, exp: 2 }),
      await issuer.sign({ ...secrets, aud: 'somebody-else' }),
      await issuer.sign({ ...secrets, iss: 'https://elsewhere.example' }),
    ];
    const junk = [`Basic ${CANARY}-basic`, `Bearer ${CANARY}.junk.token`, CANARY];
    const pdp = await startPdp({
      folder,
      config: {
        policies: { sets: [join(POLICIES, 'mesh-call'), join(POLICIES, 'finance-dashboard')] },
        decision: { timeout_ms: 5000 },
        telemetry: {
          log_level: 'trace',
          otlp_url: `http://user:${CANARY}-userinfo@127.0.0.1:${traces.port}/v1/traces`,
        },
        audit: {
          dir: join(folder, 'audit'),
          segment_max_age_s: 1,
          keys: { identity_file: join(folder, 'identity.pem') },
          ...(privacy === 'with pseudonyms' && { privacy: { key_file: join(folder, 'privacy.key') } }),
        },
        authzen: {},
        check: { callers: [{ applications: ['apps/shop'], subjects: ['User'], resources: ['Service'] }] },
        revocation: { admin_token_file: join(folder, 'admin') },
        issuers: [
          {
            name: 'corp',
            issuer: issuer.issuer,
            audiences: ['pdp'],
            algorithms: ['ES256'],
            types: ['at+jwt'],
            jwks: { file: join(folder, 'jwks.json') },
            claims: { attributes: { amr: { claim: 'amr', type: 'string_set' } } },
          },
          {
            name: 'apps',
            use: 'application',
            issuer: apps.issuer,
            audiences: ['pdp'],
            algorithms: ['ES256'],
            jwks: { file: join(folder, 'apps.json') },
          },
        ],
        pips: [
          {
            name: 'directory',
            kind: 'http',
            subject: 'user',
            gives: ['groups'],
            url: `http://127.0.0.1:${facts.port}/users/{id}`,
            token_file: join(folder, 'pip'),
            header_files: [{ header: 'x-api-key', file: join(folder, 'header') }],
          },
        ],
      },
    });
    const answers: unknown[] = [];
    const world = { pdp, answers, authorizations: [...tokens.map((token) => `Bearer ${token}`), ...junk] };
    await askExtAuthz(world);
    await askService(world);
    await askHttp(world, adminToken);
    await eventually('a closed segment is compressed', async () => {
      await fetch(`http://127.0.0.1:${pdp.httpPort}/access/v1/evaluation`, { method: 'POST', body: CANARY });
      return (await readdir(pdp.auditDir)).some((name) => name.endsWith('.gz')) || undefined;
    });
    const metrics = await (await fetch(`http://127.0.0.1:${pdp.opsPort}/metrics`)).text();
    const ready = await (await fetch(`http://127.0.0.1:${pdp.opsPort}/readyz`)).text();
    expect(await pdp.stop()).toBe(0);
    const log = await logFiles(pdp.auditDir);
    // The trial is worth something: tokens were good, facts were asked for, spans were sent.
    expect(Object.values(log).join('')).toContain(
      privacy === 'with pseudonyms' ? '"user":"~' : '"user":"corp/alice"',
    );
    expect(Object.values(log).join('')).toContain('"surface":"authzen"');
    expect(traces.seen()).toContain('pdp.check');
    expect(facts.calls()).toBeGreaterThan(0);
    const outputs = {
      output: pdp.output(),
      metrics,
      ready,
      traces: traces.seen(),
      answers: JSON.stringify(answers),
    };
    expectNowhere({ ...log, ...outputs }, tokens);
  },
  90_000,
);

test.each([
  ['redis', { shared_state: { kind: 'redis', url: `redis://user:${CANARY}@127.0.0.1:6379/0` } }],
  [
    'an information point',
    {
      pips: [
        { name: 'd', kind: 'http', subject: 'user', gives: ['x'], url: `https://user:${CANARY}@h/{id}` },
      ],
    },
  ],
  [
    'keys',
    {
      issuers: [
        { name: 'i', issuer: 'https://i', audiences: ['a'], jwks: { url: `https://user:${CANARY}@h/jwks` } },
      ],
    },
  ],
  ['no known key', { [`${CANARY.toLowerCase()}x`]: CANARY, grpc: { address: `${CANARY}@nowhere` } }],
])('what is wrong with a configuration is told without credentials in URLs: %s', async (_what, config) => {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-canary-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const file = join(folder, 'pdp.yaml');
  await writeFile(file, JSON.stringify(config));
  const { code, out, err } = await runPdp('config', 'check', '--config', file);
  expect(code).not.toBe(0);
  expect(out + err).not.toContain(CANARY);
});
