import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/file.ts';
import { isPlaintext } from '../../src/config/surfaces.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** Instructions with their arguments, continuation lines joined. */
function instructions(): { name: string; args: string }[] {
  const lines = text('deploy/docker/Dockerfile')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.map((line) => ({
    name: line.split(' ', 1)[0] ?? '',
    args: line.slice(line.indexOf(' ') + 1),
  }));
}

function argsOf(name: string, from = 0): string[] {
  return instructions()
    .slice(from)
    .filter((each) => each.name === name)
    .map(({ args }) => args);
}

const finalStage = (): number => instructions().findLastIndex(({ name }) => name === 'FROM');

describe('deploy/docker/Dockerfile', () => {
  test('builds in one stage and ships another, both on the Node.js that the project pins', () => {
    const image = `node:${text('.node-version').trim()}-bookworm-slim`;
    expect(argsOf('FROM')).toEqual([`${image} AS build`, image]);
  });

  test('ships no user but a numeric one without rights', () => {
    expect(argsOf('USER', finalStage())).toEqual(['10001:10001']);
  });

  test('has a health check on readiness that needs nothing but Node.js', () => {
    const [check = ''] = argsOf('HEALTHCHECK', finalStage());
    const command = JSON.parse(check.slice(check.indexOf('[')) || '[]') as string[];
    expect(command.slice(0, 2)).toEqual(['node', '-e']);
    expect(command[2]).toContain('http://127.0.0.1:8282/readyz');
    // It must at least be a program.
    expect(() => new Script(command[2] ?? '(')).not.toThrow();
  });

  test('starts the built server without a shell, so that SIGTERM reaches it', () => {
    const [, flags = ''] = /^exec "\$node" (.*) "\$root\/dist\/main.js" "\$@"$/m.exec(text('bin/pdp')) ?? [];
    expect(flags).toContain('--max-semi-space-size=');
    const command = ['node', ...flags.split(' '), '/app/dist/main.js'];
    expect(argsOf('ENTRYPOINT').map((args) => JSON.parse(args) as unknown)).toEqual([command]);
    expect(argsOf('CMD')).toEqual(['["serve", "--config", "/etc/cedar-pdp/pdp.yaml"]']);
  });

  test('copies only what exists, and lets only that into the build', () => {
    const ignore = text('deploy/docker/Dockerfile.dockerignore').split('\n');
    expect(ignore.filter((line) => line !== '' && !line.startsWith('#'))[0]).toBe('*');
    const allowed = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    for (const entry of allowed) expect(existsSync(join(ROOT, entry)), entry).toBe(true);
    const shipped = argsOf('COPY', finalStage()).map(
      (args) => args.split(' ')[1]?.replace('/app/', '') ?? '',
    );
    const made = new Set(['node_modules', 'dist']);
    expect(shipped.filter((entry) => !made.has(entry) && !allowed.includes(entry))).toEqual([]);
    expect(argsOf('ADD')).toEqual([]);
  });

  test('says that it was not run', () => {
    expect(text('deploy/docker/Dockerfile')).toMatch(/not run/i);
    expect(text('deploy/docker/compose.yaml')).toMatch(/not run/i);
  });
});

interface Service {
  image?: string;
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  privileged?: boolean;
  user?: string;
  ports?: string[];
  volumes?: string[];
  networks?: string[];
}

describe('deploy/docker/compose.yaml', () => {
  const { services, volumes } = parse(text('deploy/docker/compose.yaml')) as {
    services: Record<string, Service>;
    volumes: Record<string, unknown>;
  };

  test('has Envoy, Redis, the PDP and a service behind them', () => {
    expect(Object.keys(services).toSorted()).toEqual(['application', 'cedar-pdp', 'envoy', 'redis']);
  });

  test.each(Object.entries(services))('%s runs without rights on a read-only root', (_name, service) => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
    expect(service.privileged).toBeUndefined();
    expect(service.image).toMatch(/:[\w.-]*\d/);
  });

  test('publishes Envoy alone, and on loopback alone', () => {
    const published = Object.entries(services).filter(([, { ports }]) => ports !== undefined);
    expect(published.map(([name]) => name)).toEqual(['envoy']);
    expect(services['envoy']?.ports?.every((port) => port.startsWith('127.0.0.1:'))).toBe(true);
  });

  test('keeps the service out of reach of everything but Envoy', () => {
    expect(services['application']?.networks).toEqual(['data']);
    const others = Object.entries(services).filter(([name]) => !['application', 'envoy'].includes(name));
    expect(others.every(([, { networks }]) => !networks?.includes('data'))).toBe(true);
  });

  test('mounts files that exist, among them the Envoy configuration that the tests run', () => {
    const mounts = Object.values(services).flatMap((service) => service.volumes ?? []);
    for (const mount of mounts) {
      const source = mount.split(':')[0] ?? '';
      if (!source.startsWith('.')) expect(Object.keys(volumes)).toContain(source);
      // Made by scripts/demo-credentials.ts.
      else if (!source.endsWith('/.pdp/compose'))
        expect(existsSync(join(ROOT, 'deploy/docker', source)), source).toBe(true);
    }
    expect(services['envoy']?.volumes).toContain('../envoy/envoy.yaml:/etc/envoy/envoy.yaml:ro');
  });
});

describe('deploy/docker/pdp.yaml', () => {
  const { config } = loadConfig(join(ROOT, 'deploy/docker/pdp.yaml'), {});

  test('is a configuration that the PDP accepts, with mutual TLS and one caller', () => {
    expect(isPlaintext('grpc', config.grpc)).toBe(false);
    expect(config.grpc.allow).toEqual(['spiffe://prod.example.com/ns/mesh/sa/pep']);
    expect(config.spiffe?.bundles).toMatchObject([{ trust_domain: 'prod.example.com' }]);
    expect(config.audit).toMatchObject({ durability: 'written', on_failure: 'deny' });
  });

  test('writes only where the image has a volume', () => {
    for (const path of [config.audit.dir, config.policies.state_file])
      expect(path.startsWith('/var/lib/cedar-pdp/')).toBe(true);
    expect(argsOf('VOLUME')).toEqual(['/var/lib/cedar-pdp']);
  });

  test('names policy sets that the image holds', () => {
    for (const set of config.policies.sets ?? [])
      expect(existsSync(set.replace('/app/', ROOT)), set).toBe(true);
  });
});
