// The OpenAPI document against the implementation: what the document says of questions and answers is what is taken and given.
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, test } from 'vitest';
import { openApiDocument } from '../../src/api/authzen/openapi.ts';
import { type CertifiedPdp, startCertifiedPdp } from '../conformance/authzen/harness.ts';

const document = openApiDocument('https://pdp.example.com') as unknown as {
  readonly paths: Readonly<Record<string, { post?: Operation; get?: Operation }>>;
  readonly components: { readonly schemas: object };
};

interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { schema: object }>> }>
  >;
}

const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ $id: 'document', components: document.components });

function validator(schema: object): ValidateFunction {
  const text = JSON.stringify(schema).replaceAll('"#/', '"document#/');
  return ajv.compile(JSON.parse(text) as object);
}

function bodyOf({ requestBody }: Operation): ValidateFunction {
  return validator(requestBody?.content['application/json']?.schema ?? {});
}

let pdp: CertifiedPdp;
beforeAll(async () => {
  pdp = await startCertifiedPdp();
  return () => pdp[Symbol.asyncDispose]();
});

const alice = { type: 'user', id: 'alice' };
const record = { type: 'record', id: 'record-1' };
const read = { name: 'read' };
const GOOD: Readonly<Record<string, readonly object[]>> = {
  '/access/v1/evaluation': [
    { subject: alice, action: read, resource: record },
    {
      subject: { ...alice, properties: { role: 'x' } },
      action: read,
      resource: record,
      context: {},
      more: 1,
    },
    { subject: { token: 'a.b.c' }, action: read, resource: record },
  ],
  '/access/v1/evaluations': [
    { subject: alice, action: read, evaluations: [{ resource: record }, {}] },
    { subject: alice, action: read, resource: record },
    { evaluations: [{}], options: { evaluations_semantic: 'deny_on_first_deny' } },
  ],
  '/access/v1/search/subject': [
    { subject: { type: 'user' }, action: read, resource: record, page: { limit: 1 } },
  ],
  '/access/v1/search/resource': [{ subject: alice, action: read, resource: { type: 'record' } }],
  '/access/v1/search/action': [{ subject: alice, resource: record }],
};
const BAD: Readonly<Record<string, readonly object[]>> = {
  '/access/v1/evaluation': [
    {},
    { subject: 'alice', action: read, resource: record },
    { subject: { type: 'user' }, action: read, resource: record },
    { subject: alice, action: { name: 1 }, resource: record },
    { subject: alice, action: read, resource: { ...record, properties: [] } },
  ],
  '/access/v1/evaluations': [
    { evaluations: 'x' },
    { subject: 'alice', evaluations: [{}] },
    { evaluations: [{}], options: { evaluations_semantic: 'x' } },
  ],
  '/access/v1/search/subject': [
    { subject: { type: 'user' }, action: read },
    { subject: {}, action: read, resource: record },
  ],
  '/access/v1/search/resource': [{ subject: alice, action: read }],
  '/access/v1/search/action': [{ subject: alice }, { subject: alice, resource: record, page: { limit: 0 } }],
};

describe.each(Object.entries(document.paths).filter(([, { post }]) => post))('%s', (path, { post }) => {
  const operation = post as Operation;

  test.each(GOOD[path] ?? [])(
    'a question that the document takes is answered as it says: %j',
    async (question) => {
      expect(bodyOf(operation)(question)).toBe(true);
      const answer = await pdp.post(path, question);
      const { schema } = operation.responses[answer.status]?.content?.['application/json'] ?? {};
      expect([answer.status, schema === undefined]).toEqual([200, false]);
      const check = validator(schema ?? {});
      expect([check(answer.json), check.errors]).toEqual([true, null]);
    },
  );

  test.each(BAD[path] ?? [])('what the document does not take is 400: %j', async (question) => {
    expect(bodyOf(operation)(question)).toBe(false);
    const answer = await pdp.post(path, question);
    expect(answer.status).toBe(400);
    expect(operation.responses[400]?.content).toHaveProperty(['text/plain']);
  });
});

test('the metadata is as the document says', async () => {
  const path = '/.well-known/authzen-configuration';
  const { schema } = document.paths[path]?.get?.responses[200]?.content?.['application/json'] ?? {
    schema: {},
  };
  const metadata: unknown = await (await fetch(`${pdp.base}${path}`)).json();
  expect(validator(schema)(metadata)).toBe(true);
});

test('the document that is served is this one, with the URL by which we are known', async () => {
  const served: unknown = await (await fetch(`${pdp.base}/access/v1/openapi.json`)).json();
  expect(served).toEqual(JSON.parse(JSON.stringify(openApiDocument(pdp.base))));
});
