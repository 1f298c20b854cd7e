import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ENVOY_YAML,
  type EnvoyConfig,
  LISTENERS,
  localEnvoyConfig,
  readEnvoyYaml,
} from '../support/envoy.ts';
import { findEnvoy } from '../support/parts.ts';

const CREDENTIALS = fileURLToPath(new URL('../../scripts/demo-credentials.ts', import.meta.url));
let folder: string;
let config: EnvoyConfig;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-deploy-envoy-'));
  config = await readEnvoyYaml();
});
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));

function connectionManagers(): { listener: string; hcm: Record<string, unknown> }[] {
  return config.static_resources.listeners.flatMap((listener) =>
    listener.filter_chains.flatMap(({ filters }) =>
      filters.map(({ typed_config }) => ({ listener: listener.name, hcm: { ...typed_config } })),
    ),
  );
}

function extAuthz(hcm: Record<string, unknown>): Record<string, unknown> {
  const filters = hcm['http_filters'] as { name: string; typed_config: Record<string, unknown> }[];
  expect(filters.map(({ name }) => name)).toEqual([
    'envoy.filters.http.ext_authz',
    'envoy.filters.http.router',
  ]);
  return filters[0]?.typed_config ?? {};
}

/** Every leaf of `value` as `path → text`. */
function leaves(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null) return new Map([[path, JSON.stringify(value)]]);
  return new Map(Object.entries(value).flatMap(([key, item]) => [...leaves(item, `${path}/${key}`)]));
}

describe('deploy/envoy/envoy.yaml', () => {
  test.skipIf(findEnvoy() === undefined)('is a whole configuration that Envoy accepts as it is', async () => {
    expect(spawnSync(process.execPath, [CREDENTIALS, folder]).status).toBe(0);
    const text = await readFile(ENVOY_YAML, 'utf8');
    await writeFile(join(folder, 'envoy.yaml'), text.replaceAll('/etc/envoy/tls', folder));
    const args = ['--mode', 'validate', '-c', join(folder, 'envoy.yaml')];
    const result = spawnSync(findEnvoy() ?? '', args, { encoding: 'utf8' });
    expect(result.stderr).not.toContain('deprecated');
    expect({ status: result.status, stderr: result.status === 0 ? '' : result.stderr }).toEqual({
      status: 0,
      stderr: '',
    });
  });

  test('has the three listeners, each with a certificate of its own', () => {
    expect(config.static_resources.listeners.map(({ name }) => name)).toEqual(LISTENERS);
  });

  test('fails closed on every listener', () => {
    for (const { hcm } of connectionManagers()) {
      expect(extAuthz(hcm)).toMatchObject({
        transport_api_version: 'V3',
        failure_mode_allow: false,
        grpc_service: { timeout: '0.2s', envoy_grpc: { cluster_name: 'cedar-pdp' } },
        status_on_error: { code: 'ServiceUnavailable' },
        clear_route_cache: false,
        validate_mutations: true,
      });
    }
  });

  test('sends the PDP the certificate, the session and the headers as they came, and no cookies', () => {
    for (const { hcm } of connectionManagers()) {
      expect(extAuthz(hcm)).toMatchObject({
        include_peer_certificate: true,
        include_tls_session: true,
        encode_raw_headers: true,
        disallowed_headers: { patterns: [{ exact: 'cookie' }] },
        metadata_context_namespaces: ['envoy.filters.http.jwt_authn'],
      });
    }
  });

  test('lets no client write identity headers and leaves the path for the PDP to judge', () => {
    for (const { hcm } of connectionManagers()) {
      expect(hcm).toMatchObject({
        forward_client_cert_details: 'SANITIZE_SET',
        use_remote_address: true,
        normalize_path: false,
        merge_slashes: false,
        path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
        common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' },
      });
      expect(hcm).not.toHaveProperty('upgrade_configs');
    }
  });

  test('switches the check off for no route', () => {
    expect(JSON.stringify(config)).not.toMatch(
      /ExtAuthzPerRoute|typed_per_filter_config|filter_enabled|shadow_mode/,
    );
  });

  test('asks for a client certificate everywhere but at the edge', () => {
    const required = config.static_resources.listeners.map(({ name, filter_chains }) => {
      const tls = filter_chains[0]?.transport_socket.typed_config as { require_client_certificate?: boolean };
      return [name, tls.require_client_certificate];
    });
    expect(Object.fromEntries(required)).toEqual({ 'ledger-api': true, 'reports-api': true, edge: false });
  });

  test('writes no query string and no token to the access log', async () => {
    const text = await readFile(ENVOY_YAML, 'utf8');
    const format = text.slice(text.indexOf('json_format:'), text.indexOf('ext_authz: &ext_authz'));
    expect(format).toContain('%PATH(NQ)%');
    expect(format).not.toMatch(/REQ\(:PATH\)|REQ\(AUTHORIZATION\)|REQ\(COOKIE\)|FORWARDED-CLIENT-CERT/i);
  });
});

describe('the configuration that tests and the demo run', () => {
  test('differs from the deployed one in addresses, ports and file names alone, and in the two timeouts where asked for', async () => {
    const leaf = { spiffeId: '', cert: '', chain: '', key: '', certFile: '/t/cert', keyFile: '/t/key' };
    const options = {
      bundleFile: '/t/bundle',
      pep: leaf,
      ledgerApi: leaf,
      reportsApi: leaf,
      pdpPort: 1,
      upstreamPort: 2,
    };
    const [before, after] = [leaves(config), leaves(await localEnvoyConfig(options))];
    const patient = leaves(await localEnvoyConfig({ ...options, pdpTimeout: '2s' }));
    expect([...patient].filter(([path, value]) => after.get(path) !== value)).toEqual([
      ...LISTENERS.map((_, at) => [
        `/static_resources/listeners/${at}/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/grpc_service/timeout`,
        '"2s"',
      ]),
      ['/static_resources/clusters/0/connect_timeout', '"2s"'],
    ]);
    const changed = [...before].filter(([path, value]) => after.get(path) !== value).map(([path]) => path);
    expect([...after.keys()].toSorted()).toEqual([...before.keys()].toSorted());
    expect(
      changed.filter((path) => !/\/(socket_address\/(address|port_value)|filename)$/.test(path)),
    ).toEqual([]);
    expect(changed.length).toBeGreaterThan(10);
  });
});
