import { expect, onTestFinished, test } from 'vitest';
import { askServer } from '../../../src/api/ext-authz/client.ts';
import { createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { type TestOidcProvider, startOidcProvider } from '../../support/oidc-provider.ts';
import { EXT_AUTHZ_TYPES, accessRequest } from '../../support/requests.ts';

const API = 'https://api.example.com';
/** Well under what is waited for where nobody asks: see `refresh_ms`. */
const PROMPTLY_MS = 5_000;

interface Serving {
  readonly provider: TestOidcProvider;
  readonly token: () => Promise<string>;
  /** `permitted`, or the reason of the deny, for a request that the policies permit. */
  readonly ask: (token: string) => Promise<string>;
  readonly metric: (name: string) => Promise<number>;
}

/** A running PDP that trusts a real provider and fetches its keys once in an hour, unless a token gives it reason to. */
async function serve(): Promise<Serving> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const provider = stack.use(await startOidcProvider());
  const issuer = {
    name: 'staff',
    issuer: provider.issuer,
    audiences: [API],
    algorithms: ['ES256'],
    jwks: { url: provider.jwksUri },
    refresh_ms: 3_600_000,
    stale_ceiling_ms: 7_200_000,
  };
  const folder = stack.use(await createConfigFolder({ demo: false, issuers: [issuer] }));
  const app = stack.adopt(await startTestApp(folder), (started) => started.stop());
  return {
    provider,
    token: () => provider.accessToken(API, 'ES256'),
    async ask(token) {
      const question = accessRequest({ headers: [['authorization', `Bearer ${token}`]] });
      const { metadata } = await askServer(app.addresses.grpc, question, EXT_AUTHZ_TYPES);
      return String(metadata['reason']);
    },
    async metric(name) {
      const text = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
      return Number(new RegExp(`^${name}\\{issuer="staff"\\} (.*)$`, 'm').exec(text)?.[1]);
    },
  };
}

test.each([
  ['has a new id', 'next', 'token_key_unknown'],
  ['has the id of the withdrawn one', 'key', 'token_signature_invalid'],
])(
  'a provider rotates its keys: tokens of the new one, which %s, are taken promptly and those of the old one refused, without a restart',
  async (_what, prefix, reason) => {
    const { provider, token, ask, metric } = await serve();
    const old = await token();
    expect(await ask(old)).toBe('permitted');
    const confirmed = await metric('pdp_issuer_keys_confirmed_timestamp_seconds');
    expect(Math.abs(confirmed - Date.now() / 1000)).toBeLessThan(60);

    await provider.rotate(prefix);
    const next = await token();
    expect(await ask(next)).toBe(reason);
    await eventually(
      'a token of the new key is taken',
      async () => ((await ask(next)) === 'permitted' ? true : undefined),
      PROMPTLY_MS,
    );
    expect(await ask(old)).toBe(reason);
    expect(await ask(await token())).toBe('permitted');
    expect(await metric('pdp_issuer_keys_confirmed_timestamp_seconds')).toBeGreaterThan(confirmed);
    expect(await metric('pdp_issuer_keys_refresh_failures_total')).toBe(0);
  },
);

test('keys that cannot be fetched are counted, and serve on', async () => {
  const { provider, token, ask, metric } = await serve();
  const old = await token();
  await provider.rotate('next');
  const next = await token();
  const confirmed = await metric('pdp_issuer_keys_confirmed_timestamp_seconds');
  await provider[Symbol.asyncDispose]();
  expect(await ask(next)).toBe('token_key_unknown');
  await eventually('the failure is counted', async () =>
    (await metric('pdp_issuer_keys_refresh_failures_total')) === 1 ? true : undefined,
  );
  expect(await metric('pdp_issuer_keys_confirmed_timestamp_seconds')).toBe(confirmed);
  expect(await ask(old)).toBe('permitted');
});
