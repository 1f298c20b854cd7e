import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { type PdpProcess, startPdp } from '../../support/pdp-process.ts';
import { DASHBOARD_APP, REPORTS_API, checkRequestBytes } from '../../support/requests.ts';
import { createConfigFolder } from '../../support/app.ts';
import { filesIn } from '../../support/files-in.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { sampleConfig } from './load.ts';

const PEP = 'spiffe://prod.example.com/ns/mesh/sa/envoy';
const PDP = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';

async function collector(): Promise<{ url: string; received: () => string; next: () => Promise<void> }> {
  const bodies: string[] = [];
  let came = Promise.withResolvers<void>();
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk));
    request.on('end', () => {
      bodies.push(Buffer.concat(chunks).toString('latin1'));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      came.resolve();
      came = Promise.withResolvers();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1/traces`,
    received: () => bodies.join('\n'),
    next: () => came.promise,
  };
}

test('a span of each check reaches the collector, joined to the trace of its caller', async () => {
  const { url, received, next } = await collector();
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const spanId = '00f067aa0ba902b7';
  const arrived = next();
  await using pdp = await startPdp({
    config: sampleConfig({ telemetry: { otlp_url: url, service_name: 'pdp-under-test' } }),
  });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const answer = await client.check(checkRequestBytes(), {
    metadata: { traceparent: `00-${traceId}-${spanId}-01` },
  });
  // Ending flushes what is still waiting.
  expect(await pdp.stop()).toBe(0);
  await arrived;
  type Span = {
    traceId: string;
    parentSpanId?: string;
    spanId: string;
    name: string;
    attributes: { key: string; value: { stringValue?: string } }[];
  };
  const exported = received()
    .split('\n')
    .map((body) => JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] });
  const spans = exported.flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  );
  const check = spans.find(({ name }) => name === 'pdp.check ext_authz');
  expect(check).toMatchObject({ traceId, parentSpanId: spanId });
  expect(check?.attributes).toContainEqual({
    key: 'pdp.decision_id',
    value: { stringValue: answer.metadata['decision_id'] },
  });
  const stages = spans.filter(({ parentSpanId }) => parentSpanId === check?.spanId).map(({ name }) => name);
  expect(stages).toEqual(
    expect.arrayContaining(['pdp.decode', 'pdp.authenticate', 'pdp.evaluate', 'pdp.record']),
  );
  expect(spans.every((span) => span.traceId === traceId)).toBe(true);
  const [record] = await pdp.records(1);
  expect(record).toMatchObject({ trace_id: traceId, span_id: spanId });
  expect(received()).toContain('pdp-under-test');
});

test('a collector that is not there costs no check', async () => {
  await using pdp = await startPdp({
    config: sampleConfig({ telemetry: { otlp_url: 'http://127.0.0.1:9/v1/traces' } }),
  });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  expect((await client.check(checkRequestBytes())).allowed).toBe(true);
  expect(await pdp.stop()).toBe(0);
});

test('no secret of a request reaches a record, a log line, a metric, a trace or an answer', async () => {
  await using folder = await createConfigFolder();
  const { url, received } = await collector();
  const issuer = await createTestIssuer({ issuer: 'https://idp.example', audience: 'pdp' });
  const stranger = await createTestIssuer({ issuer: 'https://idp.example', audience: 'pdp' });
  const jwks = join(folder.path, 'jwks.json');
  await writeFile(jwks, JSON.stringify(issuer.jwks));
  const claims = { device_id: 'laptop-1', amr: ['pwd', 'mfa'], secret_claim: 'CANARY-claim' };
  const good = await issuer.sign(claims);
  const tokens = {
    good,
    forged: await stranger.sign(claims),
    expired: await issuer.sign({ ...claims, iat: 1, exp: 2 }),
    basic: 'CANARY-basic',
    junk: 'CANARY.junk.token',
  };
  await using pdp = await startPdp({
    config: sampleConfig({
      telemetry: { log_level: 'trace', otlp_url: url },
      issuers: [
        {
          name: 'corp',
          issuer: issuer.issuer,
          audiences: ['pdp'],
          algorithms: ['ES256'],
          types: ['at+jwt'],
          jwks: { file: jwks },
          claims: {
            device_id: 'device_id',
            device_issuer: 'demo',
            attributes: { amr: { claim: 'amr', type: 'string_set' } },
          },
        },
      ],
    }),
  });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const canaries: readonly (readonly [string, string])[] = [
    ['cookie', 'session=CANARY-cookie'],
    ['x-api-key', 'CANARY-header'],
    ['x-forwarded-client-cert', 'Subject="CANARY-xfcc"'],
    ['proxy-authorization', 'Basic CANARY-proxy'],
  ];
  const answers: unknown[] = [];
  const ask = async (options: Parameters<typeof checkRequestBytes>[0]) =>
    answers.push(
      await client.check(
        checkRequestBytes({ source: DASHBOARD_APP, destination: REPORTS_API, method: 'GET', ...options }),
      ),
    );
  const authorizations = [
    `Bearer ${tokens.good}`,
    `Bearer ${tokens.forged}`,
    `Bearer ${tokens.expired}`,
    `Basic ${tokens.basic}`,
    `Bearer ${tokens.junk}`,
  ];
  for (const authorization of authorizations) {
    const headers = [...canaries, ['authorization', authorization] as const];
    for (const path of [
      '/api/reports/quarterly?q=CANARY-query',
      '/a/../b?q=CANARY-query',
      '/a;CANARY-parameter',
      '/a#CANARY-fragment',
      'https://CANARY-user:CANARY-password@host/',
    ])
      await ask({ headers, path });
  }
  await ask({
    headers: [...canaries, ['authorization', `Bearer ${good}`], ['authorization', 'Bearer CANARY-second']],
  });
  await ask({
    headers: [...canaries, ['x_device_assertion', 'CANARY-twin'], ['x-device-assertion', 'CANARY-assertion']],
  });
  await ask({ headers: [['CANARY header', 'CANARY-value']] });
  await client.check(Buffer.from('CANARY-bytes that are no message'));
  const metrics = await (await fetch(`http://127.0.0.1:${pdp.opsPort}/metrics`)).text();
  const ready = await (await fetch(`http://127.0.0.1:${pdp.opsPort}/readyz`)).text();
  expect(await pdp.stop()).toBe(0);
  const log = await auditLog(pdp);
  expect(log.split('\n').length).toBeGreaterThan(28);
  // The trial is worth something: with the good token the report was reached.
  expect(log).toContain('"user":"corp/alice"');
  const places = {
    log,
    output: pdp.output(),
    metrics,
    ready,
    traces: received(),
    answers: JSON.stringify(answers),
  };
  expectNowhere(places, [tokens.good, tokens.forged, tokens.expired]);
});

/** Every file of the audit log. */
async function auditLog({ auditDir }: PdpProcess): Promise<string> {
  return (await filesIn(auditDir)).map(({ bytes }) => bytes.toString()).join('\n');
}

/** Expects no marked text, and no part of a token, in any place. */
function expectNowhere(places: Readonly<Record<string, string>>, tokens: readonly string[]): void {
  for (const [place, text] of Object.entries(places)) {
    const lines = text.split('\n').filter((line) => /CANARY/.test(line));
    expect({ place, lines }).toEqual({ place, lines: [] });
    for (const part of tokens.flatMap((token) => token.split('.')))
      expect({ place, leaks: text.includes(part) }).toEqual({ place, leaks: false });
  }
}

type Headers = readonly (readonly [name: string, value: string])[];

test('evidence that is refused leaves nothing of itself, in whatever header it came', async () => {
  await using folder = await createConfigFolder();
  await using ca = await createTestCa('prod.example.com');
  const [pep, leaf] = [
    await ca.issue({ spiffeId: PEP }),
    await ca.issue({ spiffeId: PDP, dns: ['pdp.test'] }),
  ];
  const audience = 'pdp';
  const issuer = await createTestIssuer({ issuer: 'https://idp.example', audience });
  const stranger = await createTestIssuer({ issuer: 'https://idp.example', audience });
  const jwks = join(folder.path, 'jwks.json');
  await writeFile(jwks, JSON.stringify(issuer.jwks));
  const common = { audiences: [audience], algorithms: ['ES256'], jwks: { file: jwks } };
  await using pdp = await startPdp({
    tls: { leaf, ca, allow: [PEP] },
    config: sampleConfig({
      telemetry: { log_level: 'trace' },
      workloads: { client_cert: { from: [PEP] }, xfcc: { from: [PEP] }, jwt_svid: { audiences: [audience] } },
      tokens: { dpop: { origins: { 'ledger-api.ledger': 'https://ledger.example' } } },
      issuers: [
        { ...common, name: 'corp', issuer: issuer.issuer, types: ['at+jwt'] },
        { ...common, name: 'mdm', use: 'device', issuer: 'https://mdm.example', types: ['device+jwt'] },
        {
          ...common,
          name: 'cluster',
          use: 'workload',
          issuer: 'https://cluster.example',
          kubernetes: { trust_domain: 'prod.example.com' },
        },
        { name: 'iap', preset: 'google-iap', audiences: ['/projects/1'], jwks: { file: jwks } },
      ],
    }),
  });
  const forge = (iss: string, typ: string, sub = 'CANARY-sub') => stranger.sign({ iss, sub }, { typ });
  const workload = 'spiffe://prod.example.com/CANARY';
  const tokens = {
    'x-jwt-svid': await forge('CANARY-iss', 'JWT', workload.replace('CANARY', 'secret')),
    'x-workload-token': await forge('https://cluster.example', 'JWT'),
    'x-device-assertion': await forge('https://mdm.example', 'device+jwt'),
    'x-goog-iap-jwt-assertion': await forge('https://cloud.google.com/iap', 'JWT'),
  };
  const { raw } = new X509Certificate(leaf.cert);
  // That of a workload is no secret, and the padding of it no byte sequence.
  const certificate = `:${raw.toString('base64')}CANARY:`;
  const good = await issuer.sign({ cnf: { jkt: 'A'.repeat(43) } });
  const authorization = ['authorization', `DPoP ${good}`] as const;
  using client = connect(
    `127.0.0.1:${pdp.grpcPort}`,
    credentials.createSsl(Buffer.from(ca.bundle), Buffer.from(pep.key), Buffer.from(pep.cert)),
  );
  const answers: { readonly allowed: boolean }[] = [];
  const refused: Headers[] = [
    ...Object.entries(tokens).flatMap(([header, token]): Headers[] => [
      [[header, token]],
      [[header, 'CANARY.junk.token']],
      [
        [header, 'CANARY-one'],
        [header, 'CANARY-two'],
      ],
    ]),
    [['client-cert', certificate]],
    [['client-cert', ':CANARY:']],
    [['x-forwarded-client-cert', 'By=CANARY;URI=CANARY;Subject="CANARY']],
    [authorization],
    [authorization, ['dpop', await stranger.sign({}, { typ: 'dpop+jwt' })]],
    [authorization, ['dpop', 'CANARY.junk.proof']],
  ];
  for (const headers of refused) answers.push(await client.check(checkRequestBytes({ headers })));
  const metrics = await (await fetch(`http://127.0.0.1:${pdp.opsPort}/metrics`)).text();
  expect(await pdp.stop()).toBe(0);
  const log = await auditLog(pdp);
  const records = log.split('\n').filter((line) => line.startsWith('{"v":'));
  // The trial is worth something: each was refused as evidence, and told.
  expect(answers.map(({ allowed }) => allowed)).toEqual(refused.map(() => false));
  expect(records.filter((line) => line.includes('"stage":"authenticate"')).length).toBe(refused.length);
  expect(pdp.output()).toContain('evidence of identity was refused');
  for (const kind of ['workload', 'token', 'device'])
    expect(metrics).toContain(`pdp_evidence_refused_total{kind="${kind}"`);
  const places = { log, output: pdp.output(), metrics, answers: JSON.stringify(answers) };
  expectNowhere(places, [...Object.values(tokens), good]);
});
