import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { encodeCheckRequest } from '../../../src/api/ext-authz/client.ts';
import { type App, startApp } from '../../../src/compose.ts';
import { loadConfig } from '../../../src/config/file.ts';
import { UNHURRIED } from '../../support/app.ts';
import { readRecords } from '../../support/pdp-process.ts';
import { EXT_AUTHZ_TYPES, accessRequest } from '../../support/requests.ts';
import { POLICIES } from '../../support/snapshot.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';

/** Says what a fact opens and shuts: `/needs` is for who is known to be in finance, `/open` for all who are not suspended. */
export const POLICY = `
@id("needs-department")
permit (principal is ZeroTrust::User, action, resource) when {
  resource.path == "/needs" && principal has department && principal.department == "finance"
};
@id("needs-clean-address")
permit (principal, action, resource) when {
  resource.path == "/clean" && context has ip_facts && context.ip_facts has threats &&
  !context.ip_facts.threats.contains("botnet")
};
@id("needs-user")
permit (principal is ZeroTrust::User, action, resource) when { resource.path == "/user" };
@id("open")
permit (principal, action, resource) when { resource.path == "/open" };
@id("suspended")
forbid (principal is ZeroTrust::User, action, resource) when {
  principal has department && principal.department == "suspended"
};
@id("botnet")
forbid (principal, action, resource) when {
  context has ip_facts && context.ip_facts has threats && context.ip_facts.threats.contains("botnet")
};
`;

/** A limit that is not to be what ends a wait. */
export const PATIENT_MS = 60_000;

/** Addresses that threat lists know, or do not. */
export const CLEAN_IP = '198.51.100.1';
export const BOTNET_IP = '192.0.2.1';

/** One question. */
export interface Question {
  readonly path: string;
  readonly user?: string;
  readonly ip?: string;
  /** A token instead of one that the issuer made for `user`. */
  readonly token?: string;
  /** Mutual TLS, on a connection of its own. */
  readonly channel?: ChannelCredentials;
}

/** What came of it. */
export interface Answer {
  readonly decision: string;
  readonly reason: string;
  readonly httpStatus: number;
  readonly ms: number;
  readonly body: string;
  /** The record as JSON; empty where there is none. */
  readonly record: string;
  readonly detail: string;
}

/** A whole decision point whose one dependency the test has in its hands. */
export interface World extends AsyncDisposable {
  readonly app: App;
  /** What operators were told since the log was last forgotten. */
  log(): string;
  forgetLog(): void;
  ask(question: Question): Promise<Answer>;
}

/** A folder with policies, keys, and what the dependency needs, before anything runs. */
export interface Ground extends AsyncDisposable {
  readonly folder: string;
  readonly issuer: TestIssuer;
  /** Starts the decision point on it. Rejects where that does not start. */
  start(config: object): Promise<World>;
}

/** Prepares a ground; disposing removes it. */
export async function createGround(): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-fail-closed-'));
  const issuer = await createTestIssuer({ issuer: 'https://idp.example.com', audience: 'pdp' });
  const schema = await readFile(join(POLICIES, 'schema.cedarschema'), 'utf8');
  await mkdir(join(folder, 'set'));
  await writeFile(join(folder, 'set', 'policy.cedar'), POLICY);
  await writeFile(
    join(folder, 'set', 'schema.cedarschema'),
    schema.replace('    department?: String,', '    @max_age("1h")\n    department?: String,'),
  );
  await writeFile(join(folder, 'jwks.json'), JSON.stringify(issuer.jwks));
  return {
    folder,
    issuer,
    start: (config) => startWorld(folder, issuer, config),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 20 }),
  };
}

async function startWorld(folder: string, issuer: TestIssuer, config: object): Promise<World> {
  const file = join(folder, 'pdp.yaml');
  await writeFile(file, stringify({ ...baseConfig(folder, issuer), ...config }));
  let log = '';
  const logger = pino({ level: 'warn' }, { write: (line) => void (log += line) });
  const app = await startApp(loadConfig(file, UNHURRIED).config, logger);
  const client = connect(app.addresses.grpc);
  return {
    app,
    log: () => log,
    forgetLog: () => void (log = ''),
    async ask(question) {
      using own = question.channel && connect(app.addresses.grpc, question.channel);
      return await ask(own ?? client, folder, issuer, question);
    },
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await app.stop();
    },
  };
}

function baseConfig(folder: string, { issuer }: TestIssuer): object {
  return {
    grpc: { address: '127.0.0.1:0', plaintext: true },
    ops: { address: '127.0.0.1:0' },
    policies: { sets: [join(folder, 'set')], reload_ms: 100 },
    decision: { timeout_ms: PATIENT_MS },
    issuers: [issuerConfig(issuer, { file: join(folder, 'jwks.json') })],
    audit: { dir: join(folder, 'audit') },
    shutdown: { grace_ms: 500 },
  };
}

/** The issuer of all users. */
export function issuerConfig(issuer: string, jwks: object, more: object = {}): object {
  return { name: 'corp', issuer, audiences: ['pdp'], algorithms: ['ES256'], jwks, ...more };
}

async function ask(
  client: ReturnType<typeof connect>,
  folder: string,
  issuer: TestIssuer,
  { path, user, ip, token }: Question,
): Promise<Answer> {
  const bearer = token ?? (user === undefined ? undefined : await issuer.sign({ sub: user }));
  const request = accessRequest({
    method: 'GET',
    path,
    ...(ip !== undefined && { ip }),
    headers: bearer === undefined ? [] : [['authorization', `Bearer ${bearer}`]],
  });
  const begun = performance.now();
  const bytes = encodeCheckRequest(request, EXT_AUTHZ_TYPES.CheckRequest);
  const given = await client.check(bytes).catch((error: unknown) => String(error));
  const ms = performance.now() - begun;
  if (typeof given === 'string')
    return { decision: '', reason: 'no connection', httpStatus: 0, ms, body: '', record: '', detail: given };
  const { metadata, httpStatus, body } = given;
  // The record is there before the answer is.
  const records = await readRecords(join(folder, 'audit'));
  const record = records.find(({ decision_id: id }) => id === metadata['decision_id']);
  return {
    decision: String(metadata['decision']),
    reason: String(metadata['reason']),
    httpStatus,
    ms,
    body,
    record: record === undefined ? '' : JSON.stringify(record),
    detail: record?.detail ?? '',
  };
}

/** Whether operators were told. */
export const told =
  (words: RegExp) =>
  (world: World): boolean =>
    words.test(world.log());
