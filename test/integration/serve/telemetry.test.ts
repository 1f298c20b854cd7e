import { once } from 'node:events';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startPdp } from '../../support/pdp-process.ts';
import { DASHBOARD_APP, REPORTS_API, checkRequestBytes } from '../../support/requests.ts';
import { createConfigFolder } from '../../support/app.ts';
import { createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { sampleConfig } from './load.ts';

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
  const files = (await readdir(pdp.auditDir, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  const log = (
    await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), 'utf8')))
  ).join('\n');
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
  for (const [place, text] of Object.entries(places)) {
    const lines = text.split('\n').filter((line) => /CANARY/.test(line));
    expect({ place, lines }).toEqual({ place, lines: [] });
    for (const token of [tokens.good, tokens.forged, tokens.expired]) {
      for (const part of token.split('.'))
        expect({ place, leaks: text.includes(part) }).toEqual({ place, leaks: false });
    }
  }
}, 30_000);
