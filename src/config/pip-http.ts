import { z } from 'zod';
import { isReservedKey } from '../pdp/external-json.ts';
import { MAPPING_NAMES } from '../pip/device/mappings/posture-mapping.ts';
import { type BodyTemplate, placeholdersOf } from '../pip/facts/http/body-template.ts';
import { parseUrlTemplate, urlTemplateProblem } from '../pip/facts/http/url-template.ts';
import { isJsonPointer } from '../pip/facts/json-pointer.ts';
import { file, headerName, name, refusing } from './parts.ts';
import { remotePip } from './pip-parts.ts';

/** A JSON Pointer (RFC 6901). */
const pointer = z
  .string()
  .refine(isJsonPointer, 'must be a JSON Pointer (RFC 6901), such as /user/department');

/** Attribute → where it is in the answer. */
export const pointers = z
  .record(z.string().min(1), pointer)
  .default({})
  .meta({ description: 'Where attributes are, as JSON Pointers (RFC 6901); else the member of their name.' });

// A secret belongs into a file, and what frames a message is the client's.
const NOT_INLINE = /auth|cookie|token|secret|key|password|credential|session/;
const FRAMING =
  /^(?:host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|if-.*|proxy-.*)$/;

function plainHeaderProblem(header: string): string | undefined {
  if (!headerName.safeParse(header).success) return 'must be the lower-case name of a header';
  if (FRAMING.test(header)) return 'is a header that the client sets itself';
  return NOT_INLINE.test(header) ? 'looks like a secret: use header_files' : undefined;
}

/** How to reach a server over HTTP: keys of whatever asks one. */
export const httpServer = {
  token_file: file('File with a bearer token; looked at every second.').optional(),
  cert_file: file('Our certificate in PEM, leaf first; looked at every second.').optional(),
  key_file: file('Its private key in PEM.').optional(),
  ca_file: file(
    "Authorities in PEM that the server's certificate may come from; else the public ones.",
  ).optional(),
  headers: z
    .record(z.string(), z.string().regex(/^[\x20-\x7e]{0,1024}$/, 'must be one line of ASCII'))
    .default({})
    .meta({ description: 'Headers to send; no secrets.' }),
  header_files: z
    .array(
      z.strictObject({
        header: headerName.refine(
          (header) => !FRAMING.test(header),
          'is a header that the client sets itself',
        ),
        file: file('File with its value.'),
      }),
    )
    .max(16)
    .default([])
    .meta({ description: 'Headers to send whose values are secrets.' }),
  max_bytes: z
    .int()
    .min(1)
    .max(1_048_576)
    .default(65_536)
    .meta({ description: 'A longer answer is refused, in bytes.' }),
};

interface ServerKeys {
  readonly token_file?: string | undefined;
  readonly cert_file?: string | undefined;
  readonly key_file?: string | undefined;
  readonly header_files: readonly { readonly header: string }[];
  readonly headers: { readonly [header: string]: string };
}

/** Refuses half a client certificate, and a header that is set twice. */
export function checkHttpServer(server: ServerKeys, context: z.core.$RefinementCtx): void {
  const refuse = refuser(context);
  if ((server.cert_file === undefined) !== (server.key_file === undefined))
    refuse(
      [server.cert_file === undefined ? 'cert_file' : 'key_file'],
      'a certificate and its key go together',
    );
  for (const header of Object.keys(server.headers)) {
    const problem = plainHeaderProblem(header);
    if (problem !== undefined) refuse(['headers', header], problem);
  }
  const headers = [
    ...Object.keys(server.headers),
    ...server.header_files.map(({ header }) => header),
    ...(server.token_file === undefined ? [] : ['authorization']),
  ];
  const twice = headers.find((header, index) => headers.indexOf(header) < index);
  if (twice !== undefined) refuse(['header_files'], `the header '${twice}' is set twice`);
}

/** Device posture from vendors' payloads: keys of whatever reads documents. */
export const postureMapping = {
  mapping: z
    .enum(MAPPING_NAMES)
    .optional()
    .meta({ description: "Reads documents as a vendor's payload about a device; needs `subject: device`." }),
  risk_thresholds: z
    .strictObject({
      low_from: z.int().min(0).max(100).default(80),
      medium_from: z.int().min(0).max(100).default(50),
    })
    .refine(({ low_from, medium_from }) => low_from >= medium_from, 'low_from must not be below medium_from')
    .optional()
    .meta({
      description:
        'For `mapping: crowdstrike`: from which overall Zero Trust Assessment score a device is of low and of medium risk; below both of high.',
    }),
};

/** What a mapping gives: the neutral posture. */
const POSTURE = [
  'managed',
  'compliant',
  'os',
  'disk_encrypted',
  'screen_lock',
  'firewall',
  'risk',
  'observed_at',
  'vendor',
];

interface MappingKeys {
  readonly subject: string;
  readonly gives: readonly string[];
  readonly mapping?: string | undefined;
  readonly risk_thresholds?: object | undefined;
}

/** Refuses a mapping for what is no device or for what no mapping gives. */
export function checkMapping(point: MappingKeys, context: z.core.$RefinementCtx): void {
  const refuse = refuser(context);
  if (point.risk_thresholds && point.mapping !== 'crowdstrike')
    refuse(['risk_thresholds'], 'only for mapping: crowdstrike');
  if (point.mapping === undefined) return;
  if (point.subject !== 'device') refuse(['mapping'], 'needs subject: device');
  for (const [index, attribute] of point.gives.entries())
    if (attribute !== 'groups' && !POSTURE.includes(attribute))
      refuse(['gives', index], `no mapping gives it: it must be one of ${POSTURE.join(', ')} or groups`);
}

const NOT_ABSENCE = new Set([401, 403, 407, 408, 425, 429]);

const status = z
  .int()
  .refine(
    (code) => code === 204 || (code >= 400 && code < 500 && !NOT_ABSENCE.has(code)),
    'must be 204, or a 4xx that says something of the subject',
  );

const body: z.ZodType<BodyTemplate, BodyTemplate> = z.json();

/** An `http` point of `pips`. */
export const HttpPip = z
  .strictObject({
    kind: z.literal('http').meta({ description: 'Facts from an HTTP server that answers in JSON.' }),
    ...remotePip({ timeoutMs: 1_000, concurrency: 32, queue: 128 }),
    url: z.string().superRefine(refusing(urlTemplateProblem)).meta({
      description:
        'What to ask: https (http to loopback only), with `{id}`, `{issuer}` and `{name}` in path segments and values of the query.',
    }),
    method: z.enum(['GET', 'POST']).default('GET'),
    body: body
      .optional()
      .meta({ description: 'JSON for POST; strings that are a placeholder become that part of the id.' }),
    issuer: name.optional().meta({
      description:
        'The one issuer whose users or devices the server knows; others are absent without a question.',
    }),
    ...httpServer,
    absent_statuses: z
      .array(status)
      .default([404, 410])
      .meta({ description: 'Statuses by which the server says that it does not know the subject.' }),
    attributes: pointers,
    groups: pointer
      .optional()
      .meta({ description: 'Where the groups are: an array of strings; else `/groups`.' }),
    observed_at: pointer.optional().meta({
      description: 'Where it says when it observed the facts: RFC 3339 or Unix seconds; else `/observed_at`.',
    }),
    found: pointer.optional().meta({
      description: 'What is there, as an object or `true`, only where the server knows the subject.',
    }),
    ...postureMapping,
  })
  .superRefine(checkHttpServer)
  .superRefine(checkMapping)
  .superRefine(checkHttp);

interface HttpKeys {
  readonly subject: string;
  readonly gives: readonly string[];
  readonly url: string;
  readonly method: string;
  readonly body?: BodyTemplate | undefined;
  readonly issuer?: string | undefined;
  readonly attributes: { readonly [attribute: string]: string };
  readonly groups?: string | undefined;
  readonly observed_at?: string | undefined;
  readonly found?: string | undefined;
  readonly mapping?: string | undefined;
}

function checkHttp(point: HttpKeys, context: z.core.$RefinementCtx): void {
  checkQuestion(point, context);
  checkPointers(point, context);
  const { mapping, attributes, groups, observed_at, found } = point;
  const pointed = Object.keys(attributes).length > 0 || (groups ?? observed_at ?? found) !== undefined;
  if (mapping !== undefined && pointed) refuser(context)(['mapping'], 'says itself where the facts are');
}

function checkQuestion(
  { url, method, body: template, subject, issuer }: HttpKeys,
  context: z.core.$RefinementCtx,
): void {
  // The URL has been refused for itself.
  if (urlTemplateProblem(url) !== undefined) return;
  const refuse = refuser(context);
  if ((method === 'POST') !== (template !== undefined)) refuse(['body'], 'goes with method: POST');
  const uses = new Set([
    ...parseUrlTemplate(url).uses,
    ...(template === undefined ? [] : placeholdersOf(template)),
  ]);
  if (uses.size === 0)
    refuse(['url'], 'neither url nor body names the subject: use {id}, or {issuer} and {name}');
  const hasIssuer = subject === 'user' || subject === 'device';
  if (!hasIssuer && (issuer !== undefined || uses.has('issuer') || uses.has('name')))
    refuse(['url'], `{issuer}, {name} and issuer are for users and devices: a ${subject} has only {id}`);
  if (hasIssuer && !uses.has('id') && !(uses.has('issuer') && uses.has('name')) && issuer === undefined)
    refuse(['issuer'], 'the same name may be known to several issuers: say whose are meant, or use {id}');
}

/** Refuses pointers for attributes that are not in `gives`. */
export function checkPointers(
  { attributes, gives }: Pick<HttpKeys, 'attributes' | 'gives'>,
  context: z.core.$RefinementCtx,
): void {
  for (const attribute of Object.keys(attributes))
    if (attribute === 'groups' || isReservedKey(attribute) || !gives.includes(attribute))
      refuser(context)(['attributes', attribute], 'is not in gives');
}

function refuser(context: z.core.$RefinementCtx): (path: (string | number)[], message: string) => void {
  return (path, message) => context.addIssue({ code: 'custom', path, message });
}
