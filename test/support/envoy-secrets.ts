import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EnvoyConfig } from './envoy.ts';
import { replaceFile } from './rotation.ts';
import type { Leaf, TestCa } from './test-ca.ts';

/** What an Envoy is to the PDP, and whom it believes there, in files of secrets that rotate (SDS). Disposing removes them. */
export interface EnvoySecrets extends AsyncDisposable {
  putIdentity(leaf: Leaf): Promise<void>;
  putBundle(cas: readonly TestCa[]): Promise<void>;
  /** Turns the static certificates of a configuration into these files; connections to the PDP are renewed every second. */
  edit(config: EnvoyConfig): void;
}

/** Makes the folder of the files; Envoy looks at them whenever one is moved into it. */
export async function createEnvoySecrets(): Promise<EnvoySecrets> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-envoy-secrets-'));
  const pathOf = (name: string): string => join(folder, `${name}.json`);
  let version = 0;
  const secret = (name: string, content: object): string => {
    const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
    return JSON.stringify({
      version_info: String((version += 1)),
      resources: [{ '@type': type, name, ...content }],
    });
  };
  const source = (name: string): object => {
    const file = { path: pathOf(name), watched_directory: { path: folder } };
    return { name, sds_config: { resource_api_version: 'V3', path_config_source: file } };
  };
  const inline = (text: string): object => ({ inline_string: text });
  return {
    putIdentity: ({ cert, key }) => {
      const identity = { certificate_chain: inline(cert), private_key: inline(key) };
      return replaceFile(pathOf('identity'), secret('identity', { tls_certificate: identity }));
    },
    putBundle: (cas) => {
      const trusted = inline(cas.map(({ bundle }) => bundle).join(''));
      return replaceFile(pathOf('bundle'), secret('bundle', { validation_context: { trusted_ca: trusted } }));
    },
    edit({ static_resources }) {
      const cluster = static_resources.clusters.find(({ name }) => name === 'cedar-pdp');
      const tls = cluster?.transport_socket?.typed_config.common_tls_context;
      if (!cluster || !tls) throw new Error('the configuration of Envoy has no TLS to the PDP');
      const { tls_certificates: own, validation_context: validation } = tls;
      const { trusted_ca, ...rest } = validation;
      writeFileSync(pathOf('identity'), secret('identity', { tls_certificate: own[0] }));
      writeFileSync(pathOf('bundle'), secret('bundle', { validation_context: { trusted_ca } }));
      const { tls_certificates: _own, validation_context: _validation, ...others } = tls;
      const rotating = {
        ...others,
        tls_certificate_sds_secret_configs: [source('identity')],
        combined_validation_context: {
          default_validation_context: rest,
          validation_context_sds_secret_config: source('bundle'),
        },
      };
      Object.assign(cluster.transport_socket?.typed_config ?? {}, { common_tls_context: rotating });
      // Connections live on with the certificate that they were made with, a quarter of an hour where deployed.
      Object.assign(cluster, JSON.parse(JSON.stringify(cluster).replace('"900s"', '"1s"')));
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 20 }),
  };
}
