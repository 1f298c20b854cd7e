import { z } from 'zod';
import { fetchUrlProblem } from '../pdp/fetch-url.ts';
import { isAttributePath } from '../pip/facts/scim/scim-filter.ts';
import { name, refusing } from './parts.ts';
import { checkHttpServer, checkPointers, httpServer, pointers } from './pip-http.ts';
import { remotePip } from './pip-parts.ts';

/** A `scim` point of `pips`. */
export const ScimPip = z
  .strictObject({
    kind: z
      .literal('scim')
      .meta({ description: 'Users and their groups from a SCIM 2.0 directory (RFC 7644).' }),
    ...remotePip({ timeoutMs: 1_000, concurrency: 32, queue: 128 }),
    subject: z.literal('user').meta({ description: 'What its facts are about.' }),
    url: z.string().superRefine(refusing(baseUrlProblem)).meta({
      description: 'Base of the service provider, such as `https://directory.example.com/scim/v2`.',
    }),
    issuer: name.meta({
      description: 'The one issuer whose users the directory knows; others are absent without a question.',
    }),
    user_by: z
      .string()
      .refine(
        isAttributePath,
        'must be id, or an attribute path such as userName, externalId and emails.value',
      )
      .default('userName')
      .meta({ description: "Which attribute is the user's `sub`: `id`, or what a filter finds it by." }),
    attributes: pointers,
    group_id: z
      .enum(['value', 'display'])
      .default('value')
      .meta({ description: 'What names a group in policies: its id in the directory, or its display name.' }),
    groups_from: z.enum(['user', 'members']).default('user').meta({
      description:
        "Where groups come from: the user's `groups`, or a question for the groups with this member.",
    }),
    max_groups: z
      .int()
      .min(1)
      .max(1_000)
      .default(1_000)
      .meta({ description: 'An answer with more groups of one user is refused.' }),
    ...httpServer,
  })
  .superRefine(checkHttpServer)
  .superRefine(checkPointers);

function baseUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url !== null && (url.search !== '' || url.hash !== '')) return 'has a query or a fragment';
  return fetchUrlProblem(text);
}
