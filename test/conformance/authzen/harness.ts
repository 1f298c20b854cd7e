import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigSchema } from '../../../src/config.ts';
import { startApp } from '../../../src/compose.ts';
import { createLogger } from '../../../src/telemetry.ts';
import { freePort } from '../../support/free-port.ts';

const POLICIES = fileURLToPath(new URL('policies', import.meta.url));

/** A decision point with the fixture of the certification scenario (§ "Required Fixture"). */
export interface CertifiedPdp extends AsyncDisposable {
  /** URL by which it is known. */
  readonly base: string;
  readonly auditDir: string;
  /** Posts JSON, or what is given as text, to an API. */
  post(path: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<CertifiedAnswer>;
}

/** What came back. */
export interface CertifiedAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; `undefined` where it is none. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** Starts the whole process with the fixture, on loopback. */
export async function startCertifiedPdp(): Promise<CertifiedPdp> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-authzen-'));
  const base = `http://127.0.0.1:${await freePort()}`;
  const config = ConfigSchema.parse({
    grpc: { address: '127.0.0.1:0', plaintext: true },
    ops: { address: '127.0.0.1:0' },
    http: { address: base.slice('http://'.length) },
    policies: { sets: [POLICIES], state_file: join(folder, 'state.json') },
    audit: { dir: join(folder, 'audit') },
    // A busy machine must not make a deny of a permit.
    decision: { timeout_ms: 5000, overload: { target_ms: 0 } },
    authzen: { base_url: base },
    check: {
      namespace: '',
      plaintext_callers: {
        subjects: ['*'],
        resources: ['*'],
        properties: ['subject.*', 'action.*', 'resource.*', 'context.*'],
        search: ['subject', 'resource', 'action'],
      },
    },
  });
  const app = await startApp(config, createLogger('silent'));
  return {
    base,
    auditDir: join(folder, 'audit'),
    post: (path, body, headers) => post(`${base}${path}`, body, headers),
    async [Symbol.asyncDispose]() {
      await app.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}

async function post(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<CertifiedAnswer> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, json: jsonIn(text) };
}

function jsonIn(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}
