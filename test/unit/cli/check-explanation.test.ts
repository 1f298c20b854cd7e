import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeCheckResponse } from '../../../src/api/ext-authz/client.ts';
import type { App } from '../../../src/compose.ts';
import type { Condition, Explanation } from '../../../src/pdp/explain/explanation.ts';
import { type ConfigFolder, createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import {
  EXT_AUTHZ_TYPES,
  LEDGER_API,
  PAYMENT_API,
  type RequestOptions,
  WEB,
  checkRequestBytes,
} from '../../support/requests.ts';
import { connect } from '../api/grpc-client.ts';

const DENIED = fileURLToPath(
  new URL('../../../deploy/local/requests/web-reads-entries.json', import.meta.url),
);

let folder: ConfigFolder;
let app: App;

beforeAll(async () => {
  folder = await createConfigFolder();
  app = await startTestApp(folder);
});
afterAll(async () => {
  await app.stop();
  await folder[Symbol.asyncDispose]();
});

/** A request of the payment API that one condition of a permit stands in the way of. */
const NEAR_MISS: RequestOptions = { path: '/internal/entries/1' };

async function requestFile({ source = PAYMENT_API, method = 'POST', path = '' }: RequestOptions) {
  const file = join(folder.path, 'near-miss.json');
  const host = 'ledger-api.ledger';
  await writeFile(file, JSON.stringify({ source, destination: LEDGER_API, method, path, host }));
  return file;
}

async function explanationOf(file: string): Promise<Explanation> {
  const { out } = await runPdp('check', '--json', '--config', folder.configFile, file);
  return (JSON.parse(out) as { explanation: Explanation }).explanation;
}

describe('the explanation of a check decided here', () => {
  test('is what the README shows', async () => {
    const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8');
    const [, sample = ''] =
      /\n\$ bin\/pdp check --config \S+ \S+web-reads-entries.json\n(.*?)```/s.exec(readme) ?? [];
    const shown = sample.trimEnd().split('\n');
    const { out } = await runPdp('check', '--config', folder.configFile, DENIED);
    const told = out.split('\n');
    const places = shown.map((line) => {
      const parts = line.split('…').map((part) => RegExp.escape(part));
      return told.findIndex((one) => new RegExp(`^${parts.join('.*')}$`).test(one));
    });
    expect(shown).toContain('Denied by:');
    expect([...places].sort((one, other) => one - other)).toEqual(places);
    expect(places).not.toContain(-1);
  });

  test('says what decided, each condition with its value and where the policy is, whole', async () => {
    const { out } = await runPdp('check', '--config', folder.configFile, DENIED);
    const [, told = ''] = out.split('\n\n');
    expect(told.replace(/\S+(\/policies\/)/, '…$1').split('\n    |')[0]).toBe(
      [
        'Denied by:',
        '  forbid mesh.only-payment-api-reaches-the-ledger  …/policies/mesh-call/mesh-call.cedar:18:1',
        `    - resource is in ZeroTrust::Service::"${LEDGER_API}"`,
        `    - context.source is ZeroTrust::Workload::"${WEB}", not ZeroTrust::Workload::"${PAYMENT_API}"`,
      ].join('\n'),
    );
  });

  test('names the permit that came near and what alone stood in its way', async () => {
    const file = await requestFile(NEAR_MISS);
    const { code, out } = await runPdp('check', '--config', folder.configFile, file);
    expect(code).toBe(1);
    const [, told = ''] = out.split('\n\n');
    expect(told.trimEnd().replace(/\S+(\/policies\/)/, '…$1')).toBe(
      [
        'No permit applies.',
        'Permits that came near:',
        '  permit mesh.payment-api-posts-entries  …/policies/mesh-call/mesh-call.cedar:3:1',
        '    1 of 6 conditions stands in the way:',
        '    - resource.path is "/internal/entries/1", not "/internal/entries"',
      ].join('\n'),
    );
    const { determining, nearMisses } = await explanationOf(file);
    expect(determining).toEqual([]);
    expect(nearMisses).toMatchObject([{ id: 'mesh.payment-api-posts-entries', failed: 1 }]);
  });

  test('is not known to who asks a server', async () => {
    const { out } = await runPdp('check', '--json', `--server=${app.addresses.grpc}`, DENIED);
    expect(Object.keys(JSON.parse(out) as object).sort()).toEqual([
      'decision',
      'decision_id',
      'http_status',
      'message',
      'policies',
      'reason',
      'snapshot',
    ]);
  });
});

/** Everything that an explanation says beside the ids of the policies that decided, down to its single words of Cedar. */
function tellingOf(explanation: Explanation): Set<string> {
  const { determining, overridden, erring, nearMisses, scopeMisses } = explanation;
  const others = [...overridden, ...erring, ...nearMisses, ...scopeMisses];
  const all = [...determining, ...others];
  const wordsOf = ({ text, words, values, anyOf = [], allOf = [] }: Condition): string[] => [
    text,
    words,
    ...values.flatMap(({ path, value }) => [path, value]),
    ...[...anyOf, ...allOf].flatMap(wordsOf),
  ];
  const lines = all.flatMap(({ text }) => text.split('\n').map((line) => line.trim()));
  const places = all.flatMap(({ file }) => [file, basename(file)]);
  const texts = [...lines, ...all.flatMap(({ conditions }) => conditions.flatMap(wordsOf)), ...places];
  const cedar =
    texts.join(' ').match(/\b(context|resource|principal)\.\w+|\bspiffe:[^"\s]+|\b\w+::\w+/g) ?? [];
  const ids = others.map(({ id }) => id);
  return new Set([...texts, ...cedar, ...ids].filter((text) => text.length > 3));
}

describe('an ext_authz answer never explains itself', () => {
  test.each<[string, RequestOptions, string, string[]]>([
    [
      'a forbid',
      { source: WEB, method: 'GET', path: '/internal/entries' },
      'source principal not allowed',
      ['mesh.only-payment-api-reaches-the-ledger'],
    ],
    ['a near miss', NEAR_MISS, 'access denied', []],
  ])(
    'denied by %s: the bytes hold the public reason and the determining ids, nothing of policy, condition or value',
    async (_what, options, message, policies) => {
      using client = connect(app.addresses.grpc);
      const path = '/envoy.service.auth.v3.Authorization/Check';
      const bytes = await client.unary(path, checkRequestBytes(options));
      const answer = decodeCheckResponse(bytes, EXT_AUTHZ_TYPES.CheckResponse);
      const { allowed, headers, body, metadata } = answer;
      expect(allowed).toBe(false);
      expect(metadata['policies']).toEqual(policies);
      expect(Object.keys(metadata).sort()).toEqual(
        ['cacheable_until', 'decision', 'decision_id', 'policies', 'reason', 'snapshot'].filter(
          (name) => name in metadata,
        ),
      );
      const { detail, title } = JSON.parse(body) as { detail?: string; title: string };
      expect((detail ?? title).toLowerCase()).toBe(message);
      expect(Object.keys(headers).sort()).toEqual(['cache-control', 'content-type', 'x-pdp-decision-id']);

      const said = bytes.toString('utf8');
      const telling = tellingOf(await explanationOf(await requestFile(options)));
      expect(telling.size).toBeGreaterThan(10);
      expect([...telling].filter((text) => said.includes(text))).toEqual([]);
    },
  );
});
