import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findEnvoy } from '../support/parts.ts';
import {
  type CarelessMesh,
  HOST,
  LISTENERS,
  PATH,
  expectAgreed,
  expectEnded,
  expectServed,
  startCarelessMesh,
} from './careless-mesh.ts';
import { flawClass } from './flaw-class.ts';
import { sendHttp1, tlsOptions } from './raw-http.ts';

let proxy: CarelessMesh;
beforeAll(async () => {
  if (findEnvoy() !== undefined) proxy = await startCarelessMesh();
});
afterAll(() => proxy?.[Symbol.asyncDispose]());

flawClass(7, 'Envoy', () => {
  test('a host in other spellings is one host', async () => {
    for (const to of LISTENERS)
      for (const host of [HOST.toUpperCase(), `${HOST}.`, `${HOST}:443`]) {
        const outcome = await proxy.http1(to, { host });
        expectServed(outcome);
        expect(outcome.record).toMatchObject({ host: HOST });
      }
  });
  test('a host that is none, or two, ends', async () => {
    for (const to of LISTENERS) {
      for (const host of [`user@${HOST}`, `${HOST}/x`, `${HOST}#`, 'a,b', '', `${HOST}:x`])
        expectEnded(await proxy.http1(to, { host }), 'host_ambiguous');
      expectEnded(await proxy.http1(to, { lines: ['host: other.example'] }), 'host_ambiguous');
    }
  });
  test('over HTTP/2 a host beside :authority is not what the service sees', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http2(to, { host: 'other.example' });
      if (outcome.seen === undefined) expectEnded(outcome, 'host_ambiguous');
      else expect(outcome.seen.headers.filter(([name]) => name === 'host')).toEqual([['host', HOST]]);
    }
  });
});

flawClass(9, 'Envoy', () => {
  test('two credentials end, apart and joined, whichever of them is good', async () => {
    const token = await proxy.mesh.token();
    for (const to of LISTENERS)
      for (const [first, second] of [
        [token, 'other'],
        ['other', token],
      ] as const) {
        const lines = [`authorization: Bearer ${first}`, `authorization: Bearer ${second}`];
        expectEnded(await proxy.http1(to, { lines }), 'credentials_conflict');
        const joined = [`authorization: Bearer ${first},Bearer ${second}`];
        expectEnded(await proxy.http1(to, { lines: joined }), 'credentials_conflict');
      }
  });
  test('other duplicates reach the service as they came', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, { lines: ['x-a: 1', 'x-a: 2'] });
      expectServed(outcome);
      expect(outcome.seen?.headers.filter(([name]) => name === 'x-a').map(([, value]) => value)).toEqual([
        '1',
        '2',
      ]);
    }
  });
});

flawClass(10, 'Envoy', () => {
  test('spellings that a backend folds to our names end, where Envoy is told to allow them', async () => {
    for (const to of LISTENERS) {
      for (const name of ['x_pdp_decision_id', 'X-Forwarded_For', 'x_device_assertion', 'transfer_encoding'])
        expectEnded(await proxy.http1(to, { lines: [`${name}: x`] }), 'header_ambiguous');
      expectEnded(await proxy.http1(to, { lines: ['x-tenant: a', 'x_tenant: b'] }), 'header_ambiguous');
      expectServed(await proxy.http1(to, { lines: ['x_tenant: b'] }));
    }
  });
});

flawClass(11, 'Envoy', () => {
  test('forwarded headers move nothing', async () => {
    const names = [
      'x-original-url',
      'x-rewrite-url',
      'x-envoy-original-path',
      'x-forwarded-uri',
      'x-forwarded-path',
    ];
    const lines = (path: string): string[] => [
      ...names.map((name) => `${name}: ${path}`),
      'x-http-method-override: POST',
      'x-forwarded-for: 10.0.0.1',
      'x-forwarded-host: other.example',
    ];
    for (const to of LISTENERS) {
      expectServed(await proxy.http1(to, { lines: lines('/admin') }));
      expectEnded(await proxy.http1(to, { target: '/admin', lines: lines(PATH) }), 'no_permit');
      expectEnded(await proxy.http1(to, { method: 'GET', lines: lines(PATH) }), 'no_permit');
    }
  });
  test('the scheme, which a client names over HTTP/2, moves nothing', async () => {
    for (const to of LISTENERS)
      for (const scheme of ['http', 'https']) {
        expectServed(await proxy.http2(to, { ':scheme': scheme }));
        expectEnded(await proxy.http2(to, { ':scheme': scheme, ':path': '/admin' }), 'no_permit');
      }
  });
  test('a hop-by-hop list takes nothing out of what the service gets', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, {
        lines: ['connection: close, x-pdp-decision-id, x-forwarded-client-cert'],
      });
      expectServed(outcome);
      const names = outcome.seen?.headers.map(([name]) => name) ?? [];
      expect(names).toContain('x-pdp-decision-id');
      expect(names).toContain('x-forwarded-client-cert');
      expectAgreed(await proxy.http1(to, { lines: ['te: trailers, gzip'] }));
      expectEnded(await proxy.http1(to, { lines: ['transfer-encoding: chunked'] }));
    }
  });
});

flawClass(12, 'Envoy', () => {
  test('a known user agent or a path of probes is no way around the decision', async () => {
    for (const to of LISTENERS)
      for (const target of ['/healthz', '/ready', '/ping'])
        expectEnded(
          await proxy.http1(to, { method: 'GET', target, lines: ['user-agent: kube-probe/1.35'] }),
          'no_permit',
        );
  });
});

flawClass(16, 'Envoy', () => {
  const lines = ['connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'];

  test('a websocket ends, where Envoy is told to pass it on', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, { method: 'GET', lines });
      expectEnded(outcome, 'upgrade_refused');
      expect(outcome.record).toMatchObject({ reason: 'upgrade_refused' });
    }
  });
  test('extended CONNECT ends', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http2(to, {
        ':method': 'CONNECT',
        ':protocol': 'websocket',
        ':scheme': 'https',
      });
      expectEnded(outcome, 'upgrade_refused');
      expect(outcome.record).toMatchObject({ reason: 'upgrade_refused' });
    }
  });
  test('CONNECT ends', async () => {
    for (const to of LISTENERS)
      expectEnded(await proxy.http1(to, { method: 'CONNECT', target: 'ledger:443' }), 'upgrade_refused');
  });
  test('an upgrade that Envoy takes out is served without it', async () => {
    const h2c = ['connection: Upgrade, HTTP2-Settings', 'upgrade: h2c', 'http2-settings: AAMAAABkAAQAAP__'];
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, { lines: h2c });
      expectServed(outcome);
      expect(outcome.seen?.headers.map(([name]) => name)).not.toContain('upgrade');
    }
  });
});

flawClass(17, 'Envoy', () => {
  test('no TLS session is resumed: every connection shows its certificate', async () => {
    for (const to of LISTENERS) {
      const options = {
        ...tlsOptions({ mesh: proxy.mesh, to, as: proxy.mesh.workloads.paymentApi }),
        ALPNProtocols: ['http/1.1'],
      };
      let session: Buffer | undefined;
      for (const turn of ['first', 'second']) {
        const socket = connect({ ...options, ...(session && { session }) });
        socket.on('session', (ticket) => (session = ticket));
        await once(socket, 'secureConnect');
        expect({ turn, reused: socket.isSessionReused() }).toEqual({ turn, reused: false });
        session ??= socket.getSession();
        socket.destroy();
      }
    }
  });
  test('a DNS name like that of a workload is no workload', async () => {
    const { web } = proxy.mesh.workloads;
    const imposter = await proxy.mesh.ca.issue({
      spiffeId: web.spiffeId,
      dns: ['payment-api.mesh.example.com', HOST],
    });
    const head = `POST ${PATH} HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 0\r\n\r\n`;
    for (const to of LISTENERS) {
      const outcome = await proxy.outcomeOf(() => sendHttp1({ mesh: proxy.mesh, to, as: imposter }, head));
      expectEnded(outcome, 'policy_forbids');
      expect(outcome.record).toMatchObject({ source_identity: { spiffe_id: web.spiffeId } });
    }
  });
});

flawClass(25, 'Envoy', () => {
  test('header fields too long or too many end', async () => {
    for (const to of LISTENERS) {
      for (const size of [10_000, 70_000]) {
        const outcome = await proxy.http1(to, { lines: [`x-long: ${'a'.repeat(size)}`] });
        if (size > 60_000) expectEnded(outcome);
        else expectServed(outcome);
      }
      expectEnded(
        await proxy.http1(to, { lines: Array.from({ length: 300 }, (_, index) => `x-${index}: a`) }),
      );
      expectEnded(await proxy.http1(to, { target: `/internal/${'a'.repeat(9000)}` }), 'path_ambiguous');
    }
  });
});

// Last: it ends the PDP.
flawClass(15, 'Envoy', () => {
  test('where the PDP is gone, Envoy denies', async () => {
    for (const to of LISTENERS) expectServed(await proxy.http1(to, {}));
    await proxy.mesh.pdp.kill();
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, {});
      expectEnded(outcome);
      expect(outcome).toMatchObject({ status: 503, record: undefined });
    }
  });
});
