import { once } from 'node:events';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../../support/eventually.ts';
import { startRedis } from '../../support/redis.ts';
import type { Stage } from './stage.ts';
import type { Dependency, Row } from './matrix.ts';
import { stageTrustFiles, stageWorkloadApi } from './trust-stages.ts';
import { type Handler, HTML, HUGE, hanging, sending, startServer } from './switched-server.ts';
import {
  BOTNET_IP,
  CLEAN_IP,
  type Ground,
  type Question,
  PATIENT_MS,
  type World,
  issuerConfig,
  told,
} from './world.ts';

export const TIMEOUT_MS = 300;

const FINANCE: Question = { path: '/needs', user: 'alice' };
const SUSPENDED: Question = { path: '/open', user: 'mallory' };
const BY_DEPARTMENT = { good: FINANCE, bad: SUSPENDED };
const BY_ADDRESS = {
  good: { path: '/clean', ip: CLEAN_IP },
  bad: { path: '/open', ip: BOTNET_IP },
};
const WRONG_TYPE = 'the attribute is a number, the schema says String';
const ABOUT_ONE = 'the answer about one user is wrong, and another is asked about';
const NO_ADDRESS = 'the request comes from no address';
const OLD = 'observed two hours ago, `@max_age("1h")`';

const departmentOf = (name: string): string => (name === 'mallory' ? 'suspended' : 'finance');
const twoHoursAgo = (): number => Math.floor(Date.now() / 1_000) - 7_200;

/** Puts a dependency on the ground, in good order. */
export function stageOf(ground: Ground, row: Row): Promise<Stage> {
  return STAGES[row.dependency](ground, row);
}

const STAGES: { readonly [dependency in Dependency]: (ground: Ground, row: Row) => Promise<Stage> } = {
  static_file: stageStaticFile,
  redis: stageRedis,
  http: stageHttp,
  scim: stageScim,
  threats_file: stageThreatsFile,
  threats_url: stageThreatsUrl,
  shared_state: stageSharedState,
  jwks: stageJwks,
  trust_files: stageTrustFiles,
  workload_api: stageWorkloadApi,
  policies: stagePolicies,
  audit: stageAudit,
};

/** What the configuration of an information point says of the row. */
function modeOf({ configured }: Row): object {
  const mode = /^(deny|omit|last_known)/.exec(configured)?.[1] ?? 'deny';
  const maxStaleMs = configured.endsWith('is over') ? 1 : 60_000;
  return { on_failure: mode, ...(mode === 'last_known' && { max_stale_ms: maxStaleMs }) };
}

/** Who is asked about. Of a wrong answer about one user more are had than the breaker lets fail, before another is asked about. */
function byDepartment({ made }: Row): Pick<Stage, 'good' | 'bad' | 'noticed'> {
  if (made !== ABOUT_ONE) return BY_DEPARTMENT;
  return {
    ...BY_DEPARTMENT,
    good: { path: '/needs', user: 'bob' },
    async noticed(world) {
      const reasons: string[] = [];
      for (let asked = 0; asked < 7; asked += 1) reasons.push((await world.ask(FINANCE)).reason);
      return reasons.every((reason) => reason === 'attribute_unavailable');
    },
  };
}

const remotePoint = (row: Row) => ({
  name: 'directory',
  subject: 'user',
  gives: ['department'],
  // Every check asks.
  fresh_ms: 1,
  timeout_ms: row.within === '`timeout_ms`' ? TIMEOUT_MS : PATIENT_MS,
  ...modeOf(row),
});

const withPoint = (row: Row, kind: object) => ({
  pips: [{ ...remotePoint(row), ...kind }],
  decision: { timeout_ms: row.within === '`decision.timeout_ms`' ? TIMEOUT_MS : PATIENT_MS },
});

async function put(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
}

function facts(more: (name: string) => object = (name) => ({ department: departmentOf(name) })): string {
  return JSON.stringify({ 'corp/alice': more('alice'), 'corp/mallory': more('mallory') });
}

async function staticPoint(ground: Ground, mode: object = {}) {
  const file = join(ground.folder, 'facts.json');
  await put(file, facts());
  const point = {
    name: 'directory',
    kind: 'static_file',
    subject: 'user',
    gives: ['department'],
    file,
    ...mode,
  };
  return { file, point };
}

async function stageStaticFile(ground: Ground, row: Row): Promise<Stage> {
  const mode = row.configured === 'omit' ? { on_failure: 'omit' } : {};
  const { file, point } = await staticPoint(ground, mode);
  const remove = (): Promise<void> => rm(file);
  const spoil = (): Promise<void> => put(file, '{"corp/alice":');
  return {
    ...BY_DEPARTMENT,
    config: { pips: [point] },
    noticed: told(/facts kept as they were/),
    faults: {
      'the file is removed': remove,
      'the file is not there': remove,
      'the file is not JSON any more': spoil,
      'the file is not JSON': spoil,
      [WRONG_TYPE]: () =>
        put(
          file,
          facts(() => ({ department: 7 })),
        ),
      [OLD]: () =>
        put(
          file,
          facts((name) => ({ department: departmentOf(name), observed_at: twoHoursAgo() })),
        ),
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function stageRedis(_ground: Ground, row: Row): Promise<Stage> {
  const redis = await startRedis({ exclusive: true });
  const set = async (valueOf: (name: string) => string): Promise<void> => {
    for (const name of ['alice', 'bob', 'mallory'])
      await redis.client.set(`user:corp/${name}`, valueOf(name));
  };
  await set((name) => JSON.stringify({ department: departmentOf(name) }));
  return {
    ...byDepartment(row),
    config: withPoint(row, { kind: 'redis', url: redis.url, key_prefix: 'user:' }),
    faults: {
      'the server is stopped': () => redis.stop(),
      'the server is paused': () => redis.pause(),
      'the value is not JSON': () => set(() => 'finance'),
      'the value is 10 MB long': () => set(() => JSON.stringify({ department: 'x'.repeat(10_000_000) })),
      [WRONG_TYPE]: () => set(() => '{"department":7}'),
      [ABOUT_ONE]: () => redis.client.set('user:corp/alice', 'finance'),
      [OLD]: () =>
        set((name) => JSON.stringify({ department: departmentOf(name), observed_at: twoHoursAgo() })),
    },
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
}

const lastSegment = (url: string | undefined): string => (url ?? '').split('/').at(-1) ?? '';

const aboutUsers =
  (more: (name: string) => object): Handler =>
  (request, response) =>
    sending(JSON.stringify(more(lastSegment(request.url))))(request, response);

async function stageHttp(_ground: Ground, row: Row): Promise<Stage> {
  const server = await startServer(aboutUsers((name) => ({ department: departmentOf(name) })));
  const answer = (handler: Handler) => () => void (server.answer = handler);
  const url = `${server.origin}/users/{name}`;
  return {
    ...byDepartment(row),
    config: withPoint(row, { kind: 'http', url, issuer: 'corp' }),
    faults: {
      'the server is stopped': () => server.stop(),
      'the server hangs': answer(hanging()),
      'the answer is a page of HTML': answer(HTML),
      'the answer is status 500': answer((_, response) => void response.writeHead(500).end('{}')),
      'the answer is 10 MB long': answer(HUGE),
      [WRONG_TYPE]: answer(aboutUsers(() => ({ department: 7 }))),
      [ABOUT_ONE]: answer((request, response) => {
        const name = lastSegment(request.url);
        const handler = name === 'alice' ? HTML : sending(JSON.stringify({ department: departmentOf(name) }));
        handler(request, response);
      }),
      [OLD]: answer(aboutUsers((name) => ({ department: departmentOf(name), observed_at: twoHoursAgo() }))),
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Answers the question for the one user with a `userName` (RFC 7644 §3.4.2). */
const directory =
  (more: (name: string) => object): Handler =>
  (request, response) => {
    const filter = new URL(request.url ?? '/', 'http://directory').searchParams.get('filter') ?? '';
    const name = /"(.*)"/.exec(filter)?.[1] ?? '';
    const user = {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      id: `id-${name}`,
      userName: name,
    };
    const list = {
      schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
      totalResults: 1,
      startIndex: 1,
      itemsPerPage: 1,
      Resources: [{ ...user, ...more(name) }],
    };
    sending(JSON.stringify(list), 'application/scim+json')(request, response);
  };

async function stageScim(_ground: Ground, row: Row): Promise<Stage> {
  const server = await startServer(directory((name) => ({ department: departmentOf(name) })));
  const answer = (handler: Handler) => () => void (server.answer = handler);
  return {
    ...byDepartment(row),
    config: withPoint(row, { kind: 'scim', url: server.origin, issuer: 'corp' }),
    faults: {
      'the server is stopped': () => server.stop(),
      'the server hangs': answer(hanging()),
      'the answer is a page of HTML': answer(HTML),
      'the answer is about somebody else': answer(
        directory(() => ({ userName: 'bob', department: 'finance' })),
      ),
      'the answer is 10 MB long': answer(HUGE),
      [WRONG_TYPE]: answer(directory(() => ({ department: 7 }))),
      [ABOUT_ONE]: answer(
        directory((name) => ({
          department: departmentOf(name),
          ...(name === 'alice' && { userName: 'somebody-else' }),
        })),
      ),
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const MAX_BYTES = 100_000;
const threatsPoint = (row: Row, list: object) => ({
  name: 'intel',
  kind: 'threat_intel',
  subject: 'ip',
  ...modeOf(row),
  lists: [
    {
      name: 'botnet',
      refresh_ms: 20,
      max_age_s: row.configured.endsWith('is over') ? 1 : 3_600,
      max_bytes: MAX_BYTES,
      max_entries: 100,
      ...list,
    },
  ],
});

async function stageThreatsFile(ground: Ground, row: Row): Promise<Stage> {
  const file = join(ground.folder, 'botnet.txt');
  await put(file, `${BOTNET_IP}\n`);
  const remove = (): Promise<void> => rm(file);
  const spoil = (content: string) => () => put(file, content);
  let isHidden = false;
  const asked = ({ path, ip }: Question): Question => ({
    path,
    ...(!isHidden && ip !== undefined && { ip }),
  });
  return {
    get good() {
      return asked(BY_ADDRESS.good);
    },
    get bad() {
      return asked(BY_ADDRESS.bad);
    },
    config: { pips: [threatsPoint(row, { file })] },
    noticed: told(/list kept as it was/),
    faults: {
      'the file is removed': remove,
      'the file is not there': remove,
      'a line is no entry': spoil('192.0.2.2\nnonsense\n'),
      'the list is empty': spoil(''),
      [NO_ADDRESS]: () => void (isHidden = true),
      'the list is longer than `max_bytes`': spoil(`192.0.2.2 #${'x'.repeat(MAX_BYTES)}`),
      'the list has more entries than `max_entries`': spoil('192.0.2.2\n'.repeat(101)),
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function stageThreatsUrl(_ground: Ground, row: Row): Promise<Stage> {
  const server = await startServer(sending(`${BOTNET_IP}\n`, 'text/plain'));
  const answer = (handler: Handler) => () => void (server.answer = handler);
  const stop = (): Promise<void> => server.stop();
  return {
    ...BY_ADDRESS,
    config: { pips: [threatsPoint(row, { url: `${server.origin}/botnet.txt`, timeout_ms: TIMEOUT_MS })] },
    noticed: told(/list kept as it was/),
    faults: {
      'the server is stopped': stop,
      'the server is not there at the start': stop,
      'the server hangs': answer(hanging()),
      'the answer is a page of HTML': answer(HTML),
      'the list is longer than `max_bytes`': answer(sending('x'.repeat(MAX_BYTES + 1), 'text/plain')),
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const DENY_AFTER_MS = 400;
const ADMIN_TOKEN = 'x'.repeat(40);
const ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` };

async function stageSharedState({ folder }: Ground, { fault, configured }: Row): Promise<Stage> {
  const isOver = configured.endsWith('is over');
  const afterMs = isOver ? DENY_AFTER_MS : 0;
  const redis = await startRedis({ exclusive: true });
  const tokenFile = join(folder, 'admin-token');
  await writeFile(tokenFile, ADMIN_TOKEN);
  return {
    good: { path: '/user', user: 'alice' },
    bad: { path: '/open', user: 'mallory' },
    doubtful: { path: '/open', user: 'bob' },
    config: {
      shared_state: { kind: 'redis', url: redis.url, heartbeat_ms: 50, timeout_ms: TIMEOUT_MS },
      revocation: {
        admin_token_file: tokenFile,
        max_lag_ms: 200,
        deny_after_ms: isOver ? DENY_AFTER_MS : 60_000,
        on_lost: configured.includes('last_known') ? 'last_known' : 'deny',
      },
    },
    begin: (world) => shutOff(world, 'corp/mallory'),
    // A server that has forgotten is told again at once.
    ...(fault !== 'wrong' && { noticed: async (world) => (await lagMs(world)) > afterMs }),
    faults: {
      'the server is stopped': () => redis.stop(),
      'the server is not there at the start': () => redis.stop(),
      'the server is paused': () => redis.pause(),
      'the server has forgotten everything': async () => {
        await redis.client.flushall();
        await eventually(
          'what was known is there again',
          async () => (await redis.client.dbsize()) || undefined,
        );
      },
    },
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
}

async function lagMs({ app }: World): Promise<number> {
  const answer = await fetch(`http://${app.addresses.ops}/revocations`, { headers: ADMIN });
  return ((await answer.json()) as { readonly lag_ms: number }).lag_ms;
}

async function shutOff({ app }: World, id: string): Promise<void> {
  const answer = await fetch(`http://${app.addresses.ops}/revocations`, {
    method: 'POST',
    headers: { ...ADMIN, 'content-type': 'application/json' },
    body: JSON.stringify({ action: 'shut_off', subject: { kind: 'user', id }, reason: 'a test' }),
  });
  if (!answer.ok) throw new Error(`could not revoke: ${answer.status} ${await answer.text()}`);
}

async function stageJwks({ issuer }: Ground, { fault, configured }: Row): Promise<Stage> {
  const server = await startServer(sending(JSON.stringify(issuer.jwks)));
  const answer = (handler: Handler) => () => void (server.answer = handler);
  const stop = (): Promise<void> => server.stop();
  const ages = { refresh_ms: 1_000, stale_ceiling_ms: configured.endsWith('is over') ? 1_500 : 3_600_000 };
  // The name of a key that is known, and the signature of one that is not.
  const forged = `${(await issuer.sign({ sub: 'alice' })).slice(0, -10)}AAAAAAAAAA`;
  return {
    good: { path: '/user', user: 'alice' },
    bad: { path: '/open', token: forged },
    config: { issuers: [issuerConfig(issuer.issuer, { url: `${server.origin}/jwks` }, ages)] },
    // That a fetch hangs is known once the server is asked, and told seconds later.
    ...(fault !== 'slow' && { noticed: told(/keys of the issuer could not be refreshed/) }),
    faults: {
      'the server is stopped': stop,
      'the server is not there at the start': stop,
      // The fetch itself may take seconds to give up; decisions are asked for meanwhile.
      'the server hangs': async () => {
        server.answer = hanging();
        await once(server.events, 'asked');
      },
      'the answer is a page of HTML': answer(HTML),
      'the answer is 10 MB long': answer(HUGE),
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function stagePolicies(ground: Ground): Promise<Stage> {
  const { point } = await staticPoint(ground);
  const set = join(ground.folder, 'set');
  const remove = (): Promise<void> => rm(set, { recursive: true });
  const add = (text: string) => () => put(join(set, 'more.cedar'), text);
  return {
    ...BY_DEPARTMENT,
    config: { pips: [point] },
    noticed: told(/polic/),
    faults: {
      'the folder is removed': remove,
      'the folder is not there': remove,
      'a policy does not parse': add('permit (principal, action'),
      'a policy that does not parse': add('permit (principal, action'),
      'a policy does not fit the schema': add(
        '@id("odd") permit (principal, action, resource) when { principal.salary > 7 };',
      ),
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function stageAudit(ground: Ground, { configured }: Row): Promise<Stage> {
  const { point } = await staticPoint(ground);
  const dir = join(ground.folder, 'audit');
  const on_failure = configured.includes('allow') ? 'allow' : 'deny';
  return {
    ...BY_DEPARTMENT,
    config: { pips: [point], audit: { dir, on_failure, segment_bytes: 65_536 } },
    faults: {
      // The open segment is still written to; the next one cannot be made.
      'a file is in the place of the folder, and a new segment is due': async () => {
        // The thread that seals makes its folders again where it comes first.
        await eventually('the file is in its place', async () => {
          await rm(dir, { recursive: true, maxRetries: 20, retryDelay: 20 });
          return writeFile(dir, '').then(
            () => true,
            () => undefined,
          );
        });
      },
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}
