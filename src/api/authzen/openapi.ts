import { AUTHZEN_PATHS, METADATA_PATH } from './metadata.ts';

/** Where the OpenAPI document is served. */
export const OPENAPI_PATH = '/access/v1/openapi.json';

type Schema = Readonly<Record<string, unknown>>;

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const text = (description: string): Schema => ({ type: 'string', description });
const object = (
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
  more: Schema = {},
): Schema => ({ type: 'object', properties, ...(required.length > 0 && { required }), ...more });

const PROPERTIES: Schema = {
  type: 'object',
  additionalProperties: true,
  description: 'Attributes, which reach policies through the schema. What a caller may assert is configured.',
};

const DEVICE_ASSERTION = text('Extension: signed posture assertion of the device that the subject uses.');

const SCHEMAS: Readonly<Record<string, Schema>> = {
  Entity: object(
    { type: { type: 'string', minLength: 1 }, id: { type: 'string', minLength: 1 }, properties: PROPERTIES },
    ['type', 'id'],
  ),
  TokenSubject: object(
    { token: text('Extension: access token that proves the subject.'), device_assertion: DEVICE_ASSERTION },
    ['token'],
  ),
  Subject: { anyOf: [ref('Entity'), ref('TokenSubject')] },
  EntityType: object({ type: { type: 'string', minLength: 1 }, properties: PROPERTIES }, ['type']),
  Action: object({ name: { type: 'string', minLength: 1 }, properties: PROPERTIES }, ['name']),
  Question: object(
    { subject: ref('Subject'), action: ref('Action'), resource: ref('Entity'), context: PROPERTIES },
    ['subject', 'action', 'resource'],
  ),
  Batch: object({
    subject: { type: 'object' },
    action: { type: 'object' },
    resource: { type: 'object' },
    context: PROPERTIES,
    evaluations: {
      type: 'array',
      items: { type: 'object' },
      description: 'Questions; what one leaves out is taken, whole, from the members beside this one.',
    },
    options: object({
      evaluations_semantic: { enum: ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] },
    }),
  }),
  Advice: object(
    {
      kind: { enum: ['authenticate', 'step_up'] },
      acr_values: { type: 'array', items: { type: 'string' } },
    },
    ['kind'],
  ),
  /** Why there is no decision, as an HTTP status and in words. */
  Problem: object({ status: { type: 'integer' }, message: { type: 'string' } }, ['status', 'message']),
  DecisionContext: object(
    {
      decision_id: text('Id of the record in the decision log.'),
      reason: text('Why, as one of a closed set of words (docs/reasons.md).'),
      message: text('Words on a deny that may be shown to the subject.'),
      advice: ref('Advice'),
      policies: {
        type: 'array',
        items: { type: 'string' },
        description: 'Ids of the policies that decided; only for callers that may have explanations.',
      },
      snapshot: text('Digest of the policies that decided.'),
      cacheable_until: { type: 'string', format: 'date-time' },
      error: ref('Problem'),
    },
    ['decision_id'],
    { additionalProperties: false },
  ),
  Decision: object(
    {
      decision: { type: 'boolean', description: '`true`, and nothing else, permits.' },
      context: ref('DecisionContext'),
    },
    ['decision', 'context'],
    { additionalProperties: false },
  ),
  Decisions: object({ evaluations: { type: 'array', items: ref('Decision') } }, ['evaluations'], {
    additionalProperties: false,
  }),
  Page: object({ token: { type: 'string' }, limit: { type: 'integer', minimum: 1 } }),
  SubjectSearch: object(
    {
      subject: ref('EntityType'),
      action: ref('Action'),
      resource: ref('Entity'),
      context: PROPERTIES,
      page: ref('Page'),
    },
    ['subject', 'action', 'resource'],
  ),
  ResourceSearch: object(
    {
      subject: ref('Subject'),
      action: ref('Action'),
      resource: ref('EntityType'),
      context: PROPERTIES,
      page: ref('Page'),
    },
    ['subject', 'action', 'resource'],
  ),
  ActionSearch: object(
    { subject: ref('Subject'), resource: ref('Entity'), context: PROPERTIES, page: ref('Page') },
    ['subject', 'resource'],
  ),
  NextPage: object(
    { next_token: text('Empty: there is no further page.'), count: { type: 'integer', minimum: 0 } },
    ['next_token'],
    { additionalProperties: false },
  ),
  SearchContext: object(
    {
      decision_id: text('Id of the record in the decision log.'),
      snapshot: { type: 'string' },
      reason: text('Why nothing was looked at.'),
      error: ref('Problem'),
      undecided: {
        type: 'integer',
        minimum: 0,
        description:
          'Candidates on this page of whom nothing could be decided; they are not among the results.',
      },
      unlisted: {
        type: 'array',
        items: { type: 'string' },
        description:
          'Information points that know such entities and cannot list them: there may be more results.',
      },
    },
    ['decision_id'],
    { additionalProperties: false },
  ),
  Entities: resultsOf(object({ type: { type: 'string' }, id: { type: 'string' } }, ['type', 'id'])),
  Actions: resultsOf(object({ name: { type: 'string' } }, ['name'])),
  Metadata: object(
    Object.fromEntries(
      [
        'policy_decision_point',
        'access_evaluation_endpoint',
        'access_evaluations_endpoint',
        'search_subject_endpoint',
        'search_resource_endpoint',
        'search_action_endpoint',
      ].map((name) => [name, { type: 'string', format: 'uri' }]),
    ),
    ['policy_decision_point', 'access_evaluation_endpoint'],
  ),
};

function resultsOf(item: Schema): Schema {
  return object(
    { results: { type: 'array', items: item }, page: ref('NextPage'), context: ref('SearchContext') },
    ['results'],
    { additionalProperties: false },
  );
}

const MESSAGES: Readonly<Record<string, string>> = {
  400: 'There was no question; the body says in words why.',
  401: 'The caller has not proven who it is, or its token is not accepted.',
  403: 'The caller may not ask this.',
  500: 'Nothing could be answered. To be taken for a deny.',
};

const WORDS: Schema = { 'text/plain': { schema: { type: 'string' } } };
/** Of a fault, which has no words of the API. */
const PROBLEM: Schema = { 'application/problem+json': { schema: { type: 'object' } } };

function post(operationId: string, summary: string, request: string, response: Schema): Schema {
  const errors = Object.entries(MESSAGES).map(([status, description]) => [
    status,
    { description, content: status === '500' ? PROBLEM : WORDS },
  ]);
  return {
    post: {
      operationId,
      summary,
      parameters: [{ $ref: '#/components/parameters/RequestId' }],
      requestBody: { required: true, content: { 'application/json': { schema: ref(request) } } },
      responses: {
        200: { description: 'Answered.', content: { 'application/json': { schema: response } } },
        ...Object.fromEntries(errors),
      },
    },
  };
}

/** The OpenAPI 3.1 document of the AuthZEN API as it is served here. `base`: the URL by which callers know us. */
export function openApiDocument(base?: string): Schema {
  const either = { oneOf: [ref('Decisions'), ref('Decision')] };
  return {
    openapi: '3.1.0',
    info: {
      title: 'cedar-pdp: OpenID AuthZEN Authorization API 1.0',
      version: '1.0',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    ...(base !== undefined && { servers: [{ url: base }] }),
    security: [{ application: [] }, { mutualTls: [] }, {}],
    paths: {
      [AUTHZEN_PATHS.evaluation]: post('evaluate', 'Answers one question.', 'Question', ref('Decision')),
      [AUTHZEN_PATHS.evaluations]: post('evaluateAll', 'Answers many by one snapshot.', 'Batch', either),
      [AUTHZEN_PATHS.subjects]: post('searchSubjects', 'Who may do it.', 'SubjectSearch', ref('Entities')),
      [AUTHZEN_PATHS.resources]: post(
        'searchResources',
        'What it may be done to.',
        'ResourceSearch',
        ref('Entities'),
      ),
      [AUTHZEN_PATHS.actions]: post('searchActions', 'What may be done.', 'ActionSearch', ref('Actions')),
      [METADATA_PATH]: {
        get: {
          operationId: 'metadata',
          summary: 'Where the APIs are; only where `authzen.base_url` is configured.',
          security: [],
          responses: {
            200: {
              description: 'The metadata.',
              content: { 'application/json': { schema: ref('Metadata') } },
            },
          },
        },
      },
    },
    components: {
      parameters: {
        RequestId: {
          name: 'X-Request-ID',
          in: 'header',
          required: false,
          schema: { type: 'string' },
          description: 'Told again in the answer, and recorded.',
        },
      },
      securitySchemes: {
        application: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        mutualTls: { type: 'mutualTLS' },
      },
      schemas: SCHEMAS,
    },
  };
}
