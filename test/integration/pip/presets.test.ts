import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CryptoKey, type JWK, exportSPKI, importJWK } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';
import { type Tokens, openTokens } from '../../../src/compose/tokens.ts';
import { ISSUER_PRESETS, type PresetName } from '../../../src/pip/token/issuer-presets.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import {
  ASSERTIONS,
  PRESET_NAMES,
  type PresetIssuer,
  createPresetIssuers,
} from '../../support/preset-issuers.ts';
import { memoryLog, receivedWith } from '../../unit/pip/fixture.ts';

let folder: string;
let issuers: ReadonlyMap<PresetName, PresetIssuer>;
let tokens: Tokens;
const stack = new AsyncDisposableStack();

function issuerOf(name: PresetName): PresetIssuer {
  const found = issuers.get(name);
  if (found === undefined) throw new Error(`no issuer ${name}`);
  return found;
}

async function open(configured: readonly object[]): Promise<Tokens> {
  const config = ConfigSchema.parse({
    grpc: { plaintext: true },
    policies: { sets: ['p'] },
    issuers: configured,
  });
  return await openTokens(config.issuers, config.tokens, { clock: MACHINE_CLOCK, log: memoryLog() }, stack);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-presets-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  issuers = await createPresetIssuers(folder);
  tokens = await open([...issuers.values()].map(({ config }) => config));
});
afterAll(() => stack.disposeAsync());

function send(headers: readonly (readonly [string, string])[]) {
  return tokens.user.authenticate(receivedWith({ headers }, Date.now()), {});
}

describe.each(PRESET_NAMES)('the preset %s', (name) => {
  test('takes the token of its product, and maps what its product says', async () => {
    const issuer = issuerOf(name);
    expect(await send([issuer.credential(await issuer.sign())])).toMatchObject({
      id: `${name}/${ASSERTIONS[name].subject}`,
      token: { issuer: name, ...ASSERTIONS[name].expected },
    });
  });

  test('takes it in its own header only', async () => {
    const issuer = issuerOf(name);
    const token = await issuer.sign();
    for (const other of issuers.values()) {
      const [header] = other.credential('');
      if (header === issuer.credential('')[0]) continue;
      const value = header === 'authorization' ? `Bearer ${token}` : token;
      const answer = await send([[header, value]]);
      expect(answer).toMatchObject({ refusal: 'token_issuer_unknown' });
    }
  });

  test('refuses it beside any other credential', async () => {
    const issuer = issuerOf(name);
    const token = issuer.credential(await issuer.sign());
    for (const other of issuers.values()) {
      const [header] = other.credential('');
      const second = other.credential(await other.sign());
      const answer = await send([token, second]);
      expect(answer, header).toMatchObject({ refusal: 'credentials_conflict' });
    }
  });

  test.each<[string, object, object]>([
    ['another key', {}, {}],
    ['another audience', { aud: 'x' }, { signer: 'x' }],
    ['an expiry that is past', { exp: 1_000_000_000 }, { exp: 1_000_000_000 }],
    ['another type', {}, { typ: 'secevent+jwt' }],
    ['another issuer', { iss: 'https://evil.example.com' }, { iss: 'https://evil.example.com' }],
  ])('refuses it with %s', async (what, claims, header) => {
    const issuer = issuerOf(name);
    const signer = what === 'another key' ? (await createPresetIssuers(folder, 'other-')).get(name) : issuer;
    const token = await signer?.sign(claims, header);
    expect(await send([issuer.credential(token ?? '')])).toHaveProperty('refusal');
  });

  test('is configured with what it needs and nothing more', async () => {
    const { config } = issuerOf(name);
    const { variables, jwks: _jwks, ...bare } = config as { variables?: object; jwks: object };
    const parse = (issuer: object) =>
      ConfigSchema.safeParse({ grpc: { plaintext: true }, policies: { sets: ['p'] }, issuers: [issuer] });
    expect(parse({ ...bare, variables: { ...variables, ...KEY_VARIABLES[name] } }).success).toBe(true);
    expect(parse({ ...config, variables: { ...variables, unheard: 'x' } }).success).toBe(false);
    for (const variable of Object.keys(variables ?? {})) {
      const fewer = Object.fromEntries(Object.entries(variables ?? {}).filter(([key]) => key !== variable));
      expect(parse({ ...config, variables: fewer }).success).toBe(false);
    }
  });

  test('fetches its keys over https', () => {
    expect(ISSUER_PRESETS[name].keys).toMatch(name === 'keycloak' ? /^\{url\}\// : /^https:\/\//);
  });
});

/** What the URL of the keys needs beyond `iss`. */
const KEY_VARIABLES: Readonly<Partial<Record<PresetName, object>>> = {
  'aws-verified-access': { region: 'eu-west-1' },
  teleport: { proxy: 'teleport.example.com' },
};

describe('tokens of another kind of the same product', () => {
  test.each<[PresetName, string, object]>([
    ['keycloak', 'an ID token', { typ: 'ID' }],
    ['keycloak', 'a refresh token', { typ: 'Refresh' }],
    ['okta', 'an ID token', { cid: undefined, at_hash: 'x' }],
    ['entra', 'an ID token', { azp: undefined, nonce: 'x' }],
    ['entra', 'a token of version 1', { ver: '1.0' }],
    ['cloudflare-access', "the token of the team's own domain", { type: 'org' }],
    ['cloudflare-access', 'the token of a service, which has no user', { sub: '' }],
  ])('%s: %s is refused', async (name, _, claims) => {
    const issuer = issuerOf(name);
    expect(await send([issuer.credential(await issuer.sign(claims))])).toHaveProperty('refusal');
  });
});

describe('what is configured beside a preset', () => {
  test('goes before it, key by key, and attributes are added up', async () => {
    const {
      issuers: [changed],
    } = await open([
      {
        preset: 'google-iap',
        name: 'iap',
        audiences: ['/projects/1'],
        max_age_s: 600,
        jwks: { file: join(folder, 'google-iap.json') },
        claims: { groups: '/gcip/groups', attributes: { tenant: { claim: '/gcip/tenant', type: 'string' } } },
      },
    ]);
    expect(changed).toMatchObject({
      header: 'x-goog-iap-jwt-assertion',
      issuer: 'https://cloud.google.com/iap',
      maxAgeSeconds: 600,
      claims: { groups: '/gcip/groups' },
    });
    expect(Object.keys(changed?.claims.attributes ?? {})).toEqual(['email', 'hd', 'access_levels', 'tenant']);
  });

  test('leaves an email as it was sent: nothing is folded', async () => {
    const issuer = issuerOf('google-iap');
    const email = '\u212aelvin@Example.com';
    expect(await send([issuer.credential(await issuer.sign({ email }))])).toMatchObject({
      token: { claims: { email } },
    });
  });
});

describe('the keys of AWS Verified Access, each at a URL of its own', () => {
  test('are fetched when a token names them: the first request is refused, the next is not', async () => {
    const kid = '12345678-1234-1234-1234-123456789012';
    const issuer = issuerOf('aws-verified-access');
    const jwks = JSON.parse(await readFile(join(folder, 'aws-verified-access.json'), 'utf8')) as {
      keys: [JWK];
    };
    const pem = await exportSPKI((await importJWK(jwks.keys[0], 'ES384')) as CryptoKey);
    const server = createServer((request, response) =>
      request.url === `/${kid}` ? response.end(pem) : response.writeHead(404).end(),
    ).listen(0, '127.0.0.1');
    stack.defer(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { jwks: _file, ...config } = issuer.config as { jwks: object };
    const pem_url = `http://127.0.0.1:${port}/{kid}`;
    const { user } = await open([{ ...config, jwks: { pem_url } }]);
    const ask = async (id: string) => {
      const token = await issuer.sign({}, { kid: id });
      return user.authenticate(receivedWith({ headers: [issuer.credential(token)] }, Date.now()), {});
    };
    expect(user.missingKeys()).toEqual([]);
    expect(await ask(kid)).toMatchObject({ refusal: 'token_key_unknown' });
    await eventually('the key is there', async () => {
      const answer = await ask(kid);
      return answer !== undefined && 'id' in answer ? answer : undefined;
    });
    expect(await ask(`${kid}0`)).toMatchObject({ refusal: 'token_key_unknown' });
  });
});
