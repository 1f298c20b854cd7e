import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { policyBind } from '../../../src/cli/policy-bind.ts';
import { runCli } from '../../../src/cli/run.ts';

let folder: string;
let out: string;
let err: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pdp-bind-'));
  out = '';
  err = '';
});
afterEach(() => rmSync(folder, { recursive: true }));

const YAML = `openapi: 3.0.3
info: { title: Clinic API, version: '1' }
paths:
  /patients/{patientId}:
    get: { operationId: getPatient }
`;

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function bind(...args: string[]): Promise<number> {
  const terminal = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    interactive: false,
  };
  return runCli([policyBind], ['policy', 'bind', ...args], terminal);
}

describe('pdp policy bind', () => {
  test('prints both files', async () => {
    expect(await bind('--openapi', file('api.yaml', YAML))).toBe(0);
    expect(out).toContain('path: /patients/{patientId}');
    expect(out).toContain('Clinic::Action::"getPatient"');
    expect(out).toContain('namespace Clinic {');
  });

  test('reads JSON and takes a namespace', async () => {
    const json = JSON.stringify({ openapi: '3.1.0', info: {}, paths: { '/a': { get: {} } } });
    expect(await bind('--openapi', file('api.json', json), '--namespace', 'Acme::Clinic')).toBe(0);
    expect(out).toContain('namespace Acme::Clinic {');
  });

  test('writes both files and never overwrites one without --force', async () => {
    const api = file('api.yaml', YAML);
    const target = join(folder, 'sets', 'clinic');
    expect(await bind('--openapi', api, '--out', target)).toBe(0);
    expect(readdirSync(target).sort()).toEqual(['bindings.yaml', 'schema.cedarschema']);
    writeFileSync(join(target, 'bindings.yaml'), 'mine');
    rmSync(join(target, 'schema.cedarschema'));
    expect(await bind('--openapi', api, '--out', target)).toBe(2);
    expect(err).toContain('bindings.yaml: is there already; --force overwrites it');
    expect(readdirSync(target)).toEqual(['bindings.yaml']);
    expect(readFileSync(join(target, 'bindings.yaml'), 'utf8')).toBe('mine');
    expect(await bind('--openapi', api, '--out', target, '--force')).toBe(0);
    expect(readFileSync(join(target, 'bindings.yaml'), 'utf8')).toContain('getPatient');
  });

  test.each([
    ['no document', () => [], '--openapi FILE is missing'],
    ['a file that is not there', () => ['--openapi', join(folder, 'none')], 'ENOENT'],
    ['an argument too many', () => ['--openapi', 'a', 'b'], 'expected no argument, got b'],
    ['an unknown option', () => ['--openapi', 'a', '--output', 'b'], "Unknown option '--output'"],
    ['a document that does not parse', () => ['--openapi', file('a.yaml', 'a: [')], 'a.yaml:1:5: '],
    [
      'a document of another kind',
      () => ['--openapi', file('a.yaml', 'swagger: "2.0"')],
      'a.yaml: openapi: the document is not OpenAPI 3.0',
    ],
    [
      'a namespace that is none',
      () => ['--openapi', file('a.yaml', YAML), '--namespace', 'a b'],
      "'a b' is not a Cedar namespace",
    ],
    [
      'a folder that cannot be made',
      () => ['--openapi', file('a.yaml', YAML), '--out', file('f', '')],
      'cannot be written',
    ],
  ])('%s exits with 2 and says so', async (_, args, message) => {
    expect(await bind(...args())).toBe(2);
    expect(err).toContain(message);
  });
});
