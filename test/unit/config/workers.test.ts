import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';
import { withLogOfWorker } from '../../../src/config/worker-audit.ts';
import { workerCount } from '../../../src/config/workers.ts';

const PLAIN = { grpc: { plaintext: true }, policies: { sets: ['p'] } };
const REDIS = { kind: 'redis', url: 'redis://127.0.0.1:6379' };

function problemsOf(workers: unknown, others: object = {}): string[] {
  const read = ConfigSchema.safeParse({ ...PLAIN, workers, ...others });
  return read.success ? [] : read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

test('there is one worker where nothing is said, and with auto one for each core', () => {
  expect(ConfigSchema.parse(PLAIN).workers).toBe(1);
  expect(workerCount('auto')).toBe(Math.min(256, availableParallelism()));
  expect(workerCount(7)).toBe(7);
});

test.each([0, 1.5, 257, 'many', null])('%s is no number of workers', (workers) => {
  expect(problemsOf(workers)).toEqual([expect.stringMatching(/^workers: /)]);
});

const DPOP = { tokens: { dpop: { origins: { 'a.example': 'https://a.example' } } } };
const ADMINS = {
  spiffe: {
    source: 'files',
    cert_file: '/c',
    key_file: '/k',
    bundles: [{ trust_domain: 'td', file: '/b' }],
  },
  ops: { plaintext: false },
  revocation: { admins: ['spiffe://td/admin'] },
};

test.each<[string, object, RegExp]>([
  [
    'revocations by a token',
    { revocation: { admin_token_file: '/t' } },
    /^shared_state: .*share revocations$/,
  ],
  ['revocations by a workload', ADMINS, /^shared_state: .*share revocations$/],
  ['a journal', { shared_state: { kind: 'embedded', journal: '/j' } }, /^shared_state: .*share the journal$/],
  ['used proofs', DPOP, /^tokens\.dpop\.replay: must be of the kind redis/],
  [
    'keys made in memory',
    { onward_identity: { issuer: 'https://pdp' } },
    /^onward_identity\.keys\.dir: is needed/,
  ],
  [
    'lines on the standard output',
    { audit: { sinks: [{ kind: 'stdout', name: 'a' }] } },
    /^audit\.sinks\.0\.kind: /,
  ],
])(
  '%s that only one worker would have are refused with several, and are good with one',
  (_what, others, problem) => {
    for (const workers of [2, 'auto'])
      expect(problemsOf(workers, others)).toEqual([expect.stringMatching(problem)]);
    expect(problemsOf(1, others)).toEqual([]);
  },
);

test('what Redis holds, all workers have', () => {
  expect(problemsOf(4, { shared_state: REDIS, revocation: { admin_token_file: '/t' } })).toEqual([]);
  const { origins } = DPOP.tokens.dpop;
  expect(problemsOf(4, { tokens: { dpop: { origins, replay: REDIS } } })).toEqual([]);
});

test('a worker has a log of its own under one identity key, and one process has the log as configured', () => {
  const config = ConfigSchema.parse({ ...PLAIN, audit: { dir: '/log', log: 'example.com/pdp' } });
  expect(withLogOfWorker(config, undefined)).toBe(config);
  expect(withLogOfWorker(config, 3).audit).toMatchObject({
    dir: '/log/worker-3',
    log: 'example.com/pdp/worker-3',
    keys: { identity_file: '/log-identity.pem' },
  });
});
