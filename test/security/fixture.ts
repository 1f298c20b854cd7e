import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { CheckAnswer } from '../../src/api/ext-authz/client.ts';
import type { App } from '../../src/compose.ts';
import { type ConfigFolder, createConfigFolder, startTestApp } from '../support/app.ts';
import { EXT_AUTHZ_TYPES } from '../support/requests.ts';
import { type TestIssuer, createTestIssuer } from '../support/tokens.ts';
import { type RawClient, connect } from '../unit/api/grpc-client.ts';

/** The policy set of the bypass suite. */
export const BYPASS_POLICIES = fileURLToPath(new URL('policies', import.meta.url));

/** The workload that may post entries. */
export const PAYMENT_API = 'spiffe://prod.example.com/ns/payments/sa/payment-api';

type Pairs = readonly (readonly [name: string, value: string])[];

/** One question in the wire's terms. */
export interface Question {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly scheme?: string;
  /** As `encode_raw_headers` sends them: in order, duplicates included, each byte a latin1 character. */
  readonly raw?: Pairs;
  /** As Envoy sends them by default: duplicates joined. With `raw` too, both forms are filled. */
  readonly joined?: Readonly<Record<string, string>>;
  /** Further members of `HttpRequest`. */
  readonly http?: object;
  readonly principal?: string;
  readonly certificate?: string;
  readonly ip?: string;
  readonly token?: string;
  readonly extensions?: Readonly<Record<string, string>>;
  /** Further members of `AttributeContext`. */
  readonly attributes?: object;
  /** Bytes behind those of `HttpRequest`: fields that we have no use for. */
  readonly httpBytes?: Uint8Array;
  /** Bytes behind those of `AttributeContext`. */
  readonly attributeBytes?: Uint8Array;
}

/** A field of a message by hand, with a length: what no honest encoder would write. */
export function wireField(number: number, body: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = body.length; ; rest >>>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) return Buffer.concat([Buffer.of((number << 3) | 2, ...length), body]);
  }
}

const typeOf = (name: string) =>
  EXT_AUTHZ_TYPES.CheckRequest.root.lookupType(`envoy.service.auth.v3.AttributeContext${name}`);
const ATTRIBUTES = typeOf('');
const HTTP_REQUEST = typeOf('.HttpRequest');
const NOTHING = Buffer.alloc(0);

/** The bytes of a CheckRequest: anybody gets `/public/page` of `app.example`, unless said otherwise. */
export function question(asked: Question = {}): Buffer {
  const { method = 'GET', path = '/public/page', host = 'app.example', scheme = 'https' } = asked;
  const bearer: Pairs = asked.token === undefined ? [] : [['authorization', `Bearer ${asked.token}`]];
  const fields = [...(asked.raw ?? []), ...bearer].map(([key, value]) => ({
    key,
    rawValue: Buffer.from(value, 'latin1'),
  }));
  const isRaw = asked.joined === undefined || fields.length > 0;
  const headers = { headers: asked.joined ?? {}, ...(isRaw && { headerMap: { headers: fields } }) };
  const address = { socketAddress: { address: asked.ip ?? '203.0.113.9', portValue: 4711 } };
  const { principal = '', certificate = '' } = asked;
  const http = {
    id: '1',
    method,
    path,
    host,
    scheme,
    size: -1,
    protocol: 'HTTP/2',
    ...headers,
    ...asked.http,
  };
  const source = { address, principal, certificate };
  const attributes = { source, contextExtensions: asked.extensions ?? {}, ...asked.attributes };
  const { httpBytes = NOTHING, attributeBytes = NOTHING } = asked;
  const httpMessage = Buffer.concat([HTTP_REQUEST.encode(http).finish(), httpBytes]);
  const request = wireField(4, wireField(2, httpMessage));
  return wireField(1, Buffer.concat([ATTRIBUTES.encode(attributes).finish(), request, attributeBytes]));
}

/** A decision record, as it stands in the log. */
export type LogRecord = Readonly<Record<string, unknown>>;

/** An answer with the record that it left. */
export interface Exchange {
  readonly answer: CheckAnswer;
  readonly record: LogRecord;
}

/** A whole PDP in this process, asked over its gRPC listener. */
export interface Bench extends AsyncDisposable {
  readonly app: App;
  readonly folder: ConfigFolder;
  readonly client: RawClient;
  /** The issuer `idp`, whose keys are in a file of `folder`. */
  readonly issuer: TestIssuer;
  readonly jwksFile: string;
  /** Asks, and looks up the one record of the answer. */
  ask(asked: Question | Buffer): Promise<Exchange>;
  /** Asks; for questions so many that looking up records takes too long. */
  answer(asked: Question | Buffer): Promise<CheckAnswer>;
}

/** Configuration of an issuer of user tokens. */
export function issuerConfig({ issuer, audience }: TestIssuer, jwks: object): Record<string, unknown> {
  return {
    name: 'idp',
    issuer,
    audiences: [audience],
    algorithms: ['ES256'],
    types: ['at+jwt'],
    skew_s: 0,
    jwks,
    claims: { attributes: { role: { claim: 'role', type: 'string' } } },
  };
}

/** Settings of the bench: its policies, the issuer `idp`, and posture assertions of `mdm` by the same key. */
export function benchConfig(issuer: TestIssuer, jwksFile: string): Record<string, unknown> {
  const users = issuerConfig(issuer, { file: jwksFile });
  const devices = { ...users, name: 'mdm', issuer: 'https://mdm.example.com', use: 'device', claims: {} };
  return { demo: false, policies: { sets: [BYPASS_POLICIES] }, pips: [], issuers: [users, devices] };
}

/** Starts a PDP with {@link benchConfig}, changed by `overrides` at the top level. */
export async function startBench(overrides: Readonly<Record<string, unknown>> = {}): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const keys = stack.use(await createConfigFolder());
  const jwksFile = join(keys.path, 'jwks.json');
  const issuer = await createTestIssuer({ issuer: 'https://idp.example.com', audience: 'app' });
  await writeFile(jwksFile, JSON.stringify(issuer.jwks));
  const folder = stack.use(await createConfigFolder({ ...benchConfig(issuer, jwksFile), ...overrides }));
  const app = await startTestApp(folder);
  stack.defer(() => app.stop());
  const client = stack.use(connect(app.addresses.grpc));
  const owned = stack.move();
  const answer = (asked: Question | Buffer): Promise<CheckAnswer> =>
    client.check(Buffer.isBuffer(asked) ? asked : question(asked));
  return {
    app,
    folder,
    client,
    issuer,
    jwksFile,
    answer,
    async ask(asked) {
      const got = await answer(asked);
      return { answer: got, record: await onlyRecordOf(folder.auditDir, got.metadata['decision_id']) };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function onlyRecordOf(auditDir: string, decisionId: unknown): Promise<LogRecord> {
  const files = (await readdir(auditDir)).filter((name) => name.endsWith('.ndjson'));
  const texts = await Promise.all(files.map((name) => readFile(join(auditDir, name), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line.includes(String(decisionId)));
  expect(lines, `records of decision ${String(decisionId)}`).toHaveLength(1);
  return JSON.parse(lines[0] ?? '{}') as LogRecord;
}

/** Reasons of a question that was read as it was meant, and that no policy permits: a token might have helped. */
export const NOT_PERMITTED = ['no_permit', 'authentication_required'] as const;

/** Asserts an explicit deny, as answer and record tell it. */
export function expectDenied({ answer, record }: Exchange, ...reasons: readonly string[]): void {
  expect(answer.allowed).toBe(false);
  expect(answer.httpStatus).toBeGreaterThanOrEqual(400);
  expect(reasons).toContain(answer.metadata['reason']);
  expect(record).toMatchObject({ decision: 'DENY', reason: answer.metadata['reason'] });
}

/** Asserts a permit, as answer and record tell it. */
export function expectAllowed({ answer, record }: Exchange): void {
  expect(answer.metadata).toMatchObject({ decision: 'ALLOW', reason: 'permitted' });
  expect(answer.allowed).toBe(true);
  expect(record).toMatchObject({ decision: 'ALLOW', reason: 'permitted' });
}
