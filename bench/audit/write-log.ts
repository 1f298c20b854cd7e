import { join } from 'node:path';
import { httpStatusOf } from '../../src/api/status.ts';
import { openLogWriter } from '../../src/audit/log/log-writer.ts';
import { createRecorder } from '../../src/audit/record/recorder.ts';
import { prepareIdentity } from '../../src/audit/seal/log-identity.ts';
import { createLogSealer } from '../../src/audit/seal/log-sealer.ts';
import type { AccessRequest } from '../../src/pdp/access-request.ts';
import { CallScope } from '../../src/pdp/call-scope.ts';
import { engineName } from '../../src/pdp/cedar-module.ts';
import { type DecisionPoint, createDecisionPoint } from '../../src/pdp/decide.ts';
import { createDecisionCache } from '../../src/pdp/decision-cache.ts';
import { decisionId } from '../../src/pdp/decision-id.ts';
import type { UserIdentity } from '../../src/pdp/identity.ts';
import { NO_REVOCATIONS } from '../../src/pdp/no-revocations.ts';
import type { Clock, Recorder } from '../../src/pdp/ports.ts';
import { createWorkloadAuthenticator } from '../../src/pip/workload/workload.ts';
import { accessRequest } from '../../test/support/requests.ts';
import { snapshotOf } from '../../test/support/snapshot.ts';

const USERS = 200;
const TEAMS = 50;
const ROUTES = 40;
/** Decisions under way at once: what arrives in one turn of the event loop shares one write. */
const BATCH = 256;
/** How often the policies are replaced by others. */
const VERSIONS = 4;

const CLOCK: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** What was written. */
export interface Written {
  readonly records: number;
  readonly seconds: number;
  /** Until everything was sealed, from when the last record was written. */
  readonly sealSeconds: number;
}

/**
 * Decides and records `count` questions with the real stages, recorder, writer and sealer: permits, denies, legal holds, what no policy names, and
 * paths that are refused before policies are asked; about two of three answers are reused. Only who asks is not verified but given.
 */
export async function writeLog(dir: string, count: number, keys: string): Promise<Written> {
  const logger = { info: () => undefined, warn: report, error: report };
  const origin = 'example.com/pdp/bench';
  const identityFile = join(keys, 'identity.pem');
  prepareIdentity({ dir, origin, identityFile });
  const settings = {
    dir,
    origin,
    identityFile,
    epochMs: 86_400_000,
    checkpointMs: 1000,
    compress: true,
    retention: { days: undefined, maxBytes: undefined },
    sinks: [],
  };
  const sealer = createLogSealer({ settings, clock: CLOCK, logger, finishMs: 600_000 });
  const writer = await openLogWriter({
    dir,
    log: origin,
    durability: 'written',
    plaintext: [],
    segmentBytes: 64 * 1024 * 1024,
    clock: CLOCK,
    logger,
  });
  sealer.follow(writer);
  sealer.start();
  const recorder = createRecorder({
    writer,
    onFailure: 'deny',
    httpStatus: httpStatusOf,
    engine: engineName(),
    acceptsTokens: true,
  });
  const started = performance.now();
  await decideAll(count, recorder);
  const written = performance.now();
  const records = writer.nextIndex;
  await writer[Symbol.asyncDispose]();
  await sealer[Symbol.asyncDispose]();
  return {
    records,
    seconds: (written - started) / 1000,
    sealSeconds: (performance.now() - written) / 1000,
  };
}

function report(fields: object, message: string): void {
  process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
}

async function decideAll(count: number, recorder: Recorder): Promise<void> {
  const snapshots = Array.from({ length: VERSIONS }, (_, version) => snapshotOf(policies(version)));
  let current = snapshots[0];
  const point = createDecisionPoint({
    clock: CLOCK,
    workload: createWorkloadAuthenticator(),
    user: {
      authenticate: ({ request }) => Promise.resolve(request && ASKING.get(request)),
      missingKeys: () => [],
    },
    device: { authenticate: () => Promise.resolve(undefined) },
    snapshots: { current: () => current },
    sources: [directory()],
    revocations: NO_REVOCATIONS,
    cache: createDecisionCache(64 * 1024 * 1024),
    maxAgeMs: 60_000,
    acceptsTokens: true,
    recorder,
    observer: { checked: () => undefined },
  });
  const random = generator();
  for (let done = 0; done < count; done += BATCH) {
    current = snapshots[Math.floor((done / count) * VERSIONS)];
    const some: Promise<unknown>[] = [];
    for (let i = done; i < Math.min(count, done + BATCH); i += 1) {
      const { id, path } = question(random);
      const request = accessRequest({ path });
      if (id !== undefined) ASKING.set(request, userOf(id));
      some.push(decide(point, request));
    }
    await Promise.all(some);
  }
}

/** Who is taken to have asked. */
const ASKING = new WeakMap<AccessRequest, UserIdentity>();

async function decide(point: DecisionPoint, question: AccessRequest): Promise<void> {
  using scope = new CallScope(CLOCK, 60_000);
  const receivedAt = CLOCK.now();
  const envelope = {
    id: decisionId(receivedAt),
    surface: 'ext_authz' as const,
    pep: { address: '127.0.0.1:50000' },
    receivedAt,
    startedAt: CLOCK.monotonic(),
  };
  await point.decide({ envelope, question, scope, decodeUs: 0 });
}

/** Some 32 000 different questions, of which 2000 are two thirds of all. */
function question(random: () => number): { readonly id: number | undefined; readonly path: string } {
  const kind = random();
  const id = Math.floor(random() * USERS);
  const route = Math.floor(random() * ROUTES);
  if (kind < 0.02) return { id, path: '/teams/%2e%2e/x' };
  if (kind < 0.05) return { id: undefined, path: `/teams/${route}/anonymous` };
  if (kind < 0.1) return { id, path: `/teams/${id % TEAMS}/hold/${route % 50}` };
  if (kind < 0.35) return { id, path: `/teams/${id % TEAMS}/items/${Math.floor(random() * 100)}` };
  return { id, path: `/teams/${id % TEAMS}/pages/${route % 10}` };
}

function userOf(id: number): UserIdentity {
  return {
    id: `bench/user-${id}`,
    token: {
      issuer: 'bench',
      subject: `user-${id}`,
      algorithm: 'ES256',
      audiences: ['pdp'],
      expiresAt: Math.floor(Date.now() / 1000) + 3600,
      claims: {},
      groups: [],
    },
  };
}

function directory() {
  return {
    name: 'directory',
    subject: 'user' as const,
    gives: ['groups'],
    onFailure: 'deny' as const,
    lookup: (id: string) => ({
      status: 'found' as const,
      attributes: {},
      groups: [`team-${Number(id.replace('bench/user-', '')) % TEAMS}`, 'staff'],
      observedAt: Date.now(),
      freshUntil: Date.now() + 3_600_000,
    }),
  };
}

function policies(version: number): string {
  const teams = Array.from(
    { length: TEAMS },
    (_, team) => `@id("team-${team}")
permit(principal in ZeroTrust::Group::"team-${team}", action == ZeroTrust::Action::"GET", resource)
when { context has http && context.http.path like "/teams/${team}/*" };`,
  );
  return `${teams.join('\n')}
@id("hold") @reason("on legal hold, ${version}")
forbid(principal, action, resource)
when { context has http && context.http.path like "/teams/*/hold/*" };`;
}

/** The same questions in each run (mulberry32). */
function generator(): () => number {
  let state = 20_261_122;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
