import { type RequestFrames, requestFrames } from './h2-connection.ts';
import { CHECK_PATH, type RequestMaker } from './requests.ts';
import type { Scenario } from './scenario.ts';
import type { Durability } from './servers.ts';
import { seeded, zipf } from './zipf.ts';

/** What a PDP is started with for some scenarios. */
export interface Served {
  /** Policies in a set of the bench; absent: the samples, and any report for whom the quarterly one is. */
  readonly policies?: number;
  readonly durability?: Durability;
  /** Whether Cedar evaluates each question, however like another one. */
  readonly evaluates?: boolean;
}

/** A scenario, and the PDP that it needs. */
export interface Planned extends Scenario {
  readonly served: Served;
}

/** Users of the scenarios that use each of them once. */
export const COLD_USERS = { full: 60_000, quick: 6000 };
/** Of `mixed`. */
const CROWD = { users: 1000, routes: 200, devices: 400, requests: 20_000, exponent: 1.1, mesh: 0.1 };

/** Names of the users and devices that the facts must know. */
export function population(quick: boolean): { readonly users: string[]; readonly devices: string[] } {
  const cold = Array.from({ length: quick ? COLD_USERS.quick : COLD_USERS.full }, (_, i) => `u${i}`);
  const crowd = Array.from({ length: CROWD.users }, (_, i) => `c${i}`);
  const devices = Array.from({ length: CROWD.devices }, (_, i) => `device-${i}`);
  return { users: ['alice', ...cold, ...crowd], devices };
}

/** Calls under way where each is a decision of a millisecond: with 64 the last would wait for as long as a check may take (`decision.timeout_ms`). */
export const NEW_UNDER_WAY = 16;

/** Makes a scenario's requests only when it runs. */
type Build = (maker: RequestMaker, quick: boolean) => Scenario['requestsFor'];

interface Entry extends Served {
  readonly description: string;
  readonly important?: boolean;
  readonly expect?: 'deny';
  readonly underWay?: number;
  readonly build: Build;
}

const hot: Build = (maker) => cycling([maker.report('alice')]);
const cold: Build = (maker, quick) =>
  cycling(
    population(quick)
      .users.filter((user) => user.startsWith('u'))
      .map((user) => maker.report(user)),
  );

const COLD =
  'Each request has a user and a token never seen before: signature check, facts from memory, decision, record';
const EVALUATED = `${COLD}. The decision cache is off, so that Cedar evaluates each`;

const ENTRIES: Readonly<Record<string, Entry>> = {
  hot: {
    description:
      'A user with a token, a workload and a device, the same request again and again; every answer is recorded.',
    important: true,
    build: hot,
  },
  mesh: {
    description:
      'One workload calls another, without a user; the same request again and again; every answer is recorded.',
    important: true,
    build: (maker) => cycling([maker.meshCall()]),
  },
  cold: {
    description: `${COLD}. To the policies one user of a group is like another (ADR 0035).`,
    important: true,
    underWay: NEW_UNDER_WAY,
    build: cold,
  },
  evaluated: {
    description: `${EVALUATED}.`,
    important: true,
    evaluates: true,
    underWay: NEW_UNDER_WAY,
    build: cold,
  },
  warm: {
    description:
      'The same user, workload and device ask for a path never asked for before: known token, new question. To the policies a path below another is like any other there (ADR 0035).',
    underWay: NEW_UNDER_WAY,
    build: (maker) => {
      const token = maker.token('alice');
      return counting((n) => maker.report('alice', { token, path: `/api/reports/n${n}` }));
    },
  },
  deny: {
    description: 'As hot, on a device that is not healthy: Cedar forbids it, and the answer says why.',
    expect: 'deny',
    build: (maker) => cycling([maker.report('alice', { token: maker.token('alice', 'laptop-2') })]),
  },
  malformed: {
    description:
      'In turns: a token whose signature is broken, a token that is none, a path that can be read in two ways, a CheckRequest that says nothing.',
    expect: 'deny',
    build: (maker) => cycling(malformed(maker)),
  },
  'policies-10': {
    description: `${EVALUATED}. 10 policies.`,
    policies: 10,
    evaluates: true,
    underWay: NEW_UNDER_WAY,
    build: cold,
  },
  'policies-1000': {
    description: `${EVALUATED}. 1 000 policies.`,
    evaluates: true,
    policies: 1000,
    underWay: NEW_UNDER_WAY,
    build: cold,
  },
  'policies-10000': {
    description: `${EVALUATED}. 10 000 policies.`,
    evaluates: true,
    policies: 10_000,
    underWay: NEW_UNDER_WAY,
    build: cold,
  },
  'audit-async': {
    description: 'As hot; an answer waits for nothing.',
    durability: 'async',
    build: hot,
  },
  'audit-written': {
    description: 'As hot; an answer waits for the write of its record.',
    durability: 'written',
    build: hot,
  },
  'audit-synced': {
    description: 'As hot; an answer waits for the write and fdatasync of its record.',
    durability: 'synced',
    build: hot,
  },
  mixed: {
    underWay: NEW_UNDER_WAY,
    description: `${CROWD.users} users, ${CROWD.routes} routes and ${CROWD.devices} devices, each drawn by Zipf with exponent ${CROWD.exponent}; every tenth request is a mesh call.`,
    build: (maker) => cycling(mixed(maker)),
  },
};

/** The names of all scenarios, in the order in which they run. */
export const SCENARIOS: readonly string[] = Object.keys(ENTRIES);

/** The scenarios with these names, each with the PDP it needs. Throws where a name is unknown. */
export function planned(names: readonly string[], maker: RequestMaker, quick: boolean): Planned[] {
  return names.map((name) => {
    const entry = ENTRIES[name];
    if (entry === undefined) throw new Error(`no scenario '${name}': there are ${SCENARIOS.join(', ')}`);
    const { description, build, important = false, expect = 'allow', underWay } = entry;
    const { policies, durability, evaluates } = entry;
    let made: Scenario['requestsFor'] | undefined;
    return {
      name,
      description,
      important,
      expect,
      underWay,
      served: {
        ...(policies && { policies }),
        ...(durability && { durability }),
        ...(evaluates && { evaluates }),
      },
      requestsFor: (server) => (made ??= build(maker, quick))(server),
    };
  });
}

/** Each server is given the same requests, each from the first one on. */
function cycling(requests: readonly RequestFrames[]): Scenario['requestsFor'] {
  return () => {
    let next = 0;
    return () => {
      const request = requests[next++ % requests.length];
      if (request === undefined) throw new TypeError('a scenario has no requests');
      return request;
    };
  };
}

function counting(requestAt: (n: number) => RequestFrames): Scenario['requestsFor'] {
  return () => {
    let next = 0;
    return () => requestAt(next++);
  };
}

function malformed(maker: RequestMaker): RequestFrames[] {
  const token = maker.token('alice');
  const broken = `${token.slice(0, -20)}${'A'.repeat(20)}`;
  return [
    maker.report('alice', { token: broken }),
    maker.report('alice', { token: 'not.a.token' }),
    maker.report('alice', { token, path: '/api/reports/%2e%2e/quarterly' }),
    requestFrames(CHECK_PATH, Buffer.alloc(0)),
  ];
}

/** Drawn once, the same in every run but for the tokens; a user has a token for each device it was drawn with. */
function mixed(maker: RequestMaker): RequestFrames[] {
  const random = seeded(8);
  const { exponent } = CROWD;
  const user = zipf(CROWD.users, exponent, random);
  const route = zipf(CROWD.routes, exponent, random);
  const device = zipf(CROWD.devices, exponent, random);
  const tokens = new Map<string, string>();
  const meshCall = maker.meshCall();
  return Array.from({ length: CROWD.requests }, () => {
    if (random() < CROWD.mesh) return meshCall;
    const [name, id] = [`c${user()}`, `device-${device()}`];
    const key = `${name} ${id}`;
    const token = tokens.get(key) ?? maker.token(name, id);
    tokens.set(key, token);
    return maker.report(name, { token, path: `/api/reports/r${route()}` });
  });
}
