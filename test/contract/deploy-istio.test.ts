import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { ConfigSchema } from '../../src/config.ts';

interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: Record<string, never> & Record<string, unknown>;
  readonly data?: Record<string, string>;
}

interface Provider {
  readonly name: string;
  readonly envoyExtAuthzGrpc: {
    readonly service: string;
    readonly port: number;
    readonly timeout: string;
    readonly failOpen: boolean;
    readonly statusOnError: string;
  };
}

const text = (name: string): string =>
  readFileSync(new URL(`../../deploy/istio/${name}`, import.meta.url), 'utf8');

function resources(name: string): Resource[] {
  const documents = parseAllDocuments(text(name));
  if (!Array.isArray(documents)) return [];
  expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
  return documents.map((document) => document.toJS() as Resource);
}

function only(kind: string, name: string, file = 'cedar-pdp.yaml'): Resource {
  const found = resources(file).filter((each) => each.kind === kind && each.metadata.name === name);
  expect(found).toHaveLength(1);
  return found[0] as Resource;
}

function provider(): Provider {
  const mesh = parse(text('mesh-config.yaml')) as {
    spec: { meshConfig: { extensionProviders: Provider[] } };
  };
  expect(mesh.spec.meshConfig.extensionProviders).toHaveLength(1);
  return mesh.spec.meshConfig.extensionProviders[0] as Provider;
}

const pdpConfig = () => ConfigSchema.parse(parse(only('ConfigMap', 'cedar-pdp').data?.['pdp.yaml'] ?? ''));

describe('deploy/istio/mesh-config.yaml', () => {
  test('fails closed', () => {
    expect(provider().envoyExtAuthzGrpc).toMatchObject({ failOpen: false, statusOnError: '503' });
  });

  test("waits less than a second, and longer than the PDP's own deadline", () => {
    const { timeout } = provider().envoyExtAuthzGrpc;
    expect(timeout).toMatch(/^\d+(\.\d+)?s$/);
    const ms = Number.parseFloat(timeout) * 1000;
    expect(ms).toBeLessThan(1000);
    expect(ms).toBeGreaterThan(pdpConfig().decision.timeout_ms);
  });

  test('points at the service of the PDP', () => {
    const { service, port } = provider().envoyExtAuthzGrpc;
    const { metadata, spec } = only('Service', 'cedar-pdp');
    expect(service).toBe(`${metadata.name}.${metadata.namespace}.svc.cluster.local`);
    expect(spec['ports']).toMatchObject([{ name: 'grpc', port }]);
  });
});

describe('deploy/istio/authorization-policy.yaml', () => {
  test('asks the provider about every request', () => {
    const { spec } = only('AuthorizationPolicy', 'cedar-pdp', 'authorization-policy.yaml');
    expect(spec).toMatchObject({ action: 'CUSTOM', provider: { name: provider().name }, rules: [{}] });
  });

  test('insists on mutual TLS, without which there is no source identity', () => {
    const { spec } = only('PeerAuthentication', 'default', 'authorization-policy.yaml');
    expect(spec).toMatchObject({ mtls: { mode: 'STRICT' } });
  });
});

describe('deploy/istio/cedar-pdp.yaml', () => {
  test('holds a configuration that the PDP accepts, listening where service and probes look', () => {
    const config = pdpConfig();
    expect(config.grpc.address).toBe('0.0.0.0:9191');
    expect(config.ops.address).toBe('0.0.0.0:8282');
    expect(config.audit).toMatchObject({ durability: 'written', on_failure: 'deny' });
  });

  test('lets plaintext in from nowhere but its own sidecar', () => {
    expect(pdpConfig().grpc.plaintext).toBe(true);
    expect(only('PeerAuthentication', 'default').spec).toMatchObject({ mtls: { mode: 'STRICT' } });
    expect(only('AuthorizationPolicy', 'callers').spec).toMatchObject({ action: 'ALLOW' });
  });

  test('runs without rights on a read-only root, and keeps the decision log on a volume that outlives the pod', () => {
    const { spec } = only('StatefulSet', 'cedar-pdp') as { spec: Record<string, unknown> };
    expect(spec).toMatchObject({
      template: {
        spec: {
          automountServiceAccountToken: false,
          securityContext: { runAsNonRoot: true, runAsUser: 10001 },
          containers: [
            {
              securityContext: {
                readOnlyRootFilesystem: true,
                allowPrivilegeEscalation: false,
                capabilities: { drop: ['ALL'] },
              },
              readinessProbe: { httpGet: { path: '/readyz' } },
              livenessProbe: { httpGet: { path: '/livez' } },
            },
          ],
        },
      },
      volumeClaimTemplates: [{ metadata: { name: 'audit' } }],
    });
  });

  test.each(['mesh-config.yaml', 'authorization-policy.yaml', 'cedar-pdp.yaml', 'README.md'])(
    '%s says that it was not run',
    (name) => {
      expect(text(name)).toMatch(/linted only|not run/i);
    },
  );
});
