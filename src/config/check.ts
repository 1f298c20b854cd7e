import { z } from 'zod';
import { ms, spiffePattern } from './parts.ts';

const TYPE = /^(?:[A-Za-z_][A-Za-z0-9_]*::)*[A-Za-z_][A-Za-z0-9_]*$/;

const entityTypes = (description: string) =>
  z
    .array(
      z
        .string()
        .refine(
          (text) => text === '*' || TYPE.test(text),
          'must be the name of an entity type, such as Clinic::Appointment, or * for any',
        ),
    )
    .default([])
    .meta({ description });

/** SPIFFE IDs of callers; `/*` at the end stands for any path below. */
const callers = z.array(spiffePattern);

/** Applications as their tokens name them. */
const applications = (description: string) =>
  z
    .array(z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}\/.+$/s, 'must be <issuer name>/<sub>'))
    .default([])
    .meta({ description });

const grant = {
  subjects: entityTypes(
    'Types of the subjects that they may name on their own word; `*` is any. Subjects that a token proves need none.',
  ),
  resources: entityTypes('Types of the resources that they may ask about; `*` is any.'),
  search: z
    .array(z.enum(['subject', 'resource', 'action']))
    .default([])
    .meta({
      description:
        'What they may search for (AuthZEN): a search lists what a question can only confirm. Empty: nothing.',
    }),
  properties: z
    .array(
      z
        .string()
        .regex(
          /^(?:subject|action|resource|context)\.(?:\*|[^.*]+)$/,
          'must be subject.NAME, action.NAME, resource.NAME or context.NAME; NAME * is any',
        ),
    )
    .default([])
    .meta({
      description:
        'What they may assert, as `resource.status`; `resource.*` is everything about the resource. What an information point or the policy set says goes before it.',
    }),
};

/** `check`: who may ask `pdp.v1.DecisionService`, and about what. */
export const Check = z.strictObject({
  namespace: z
    .string()
    .refine((text) => text === '' || TYPE.test(text), "must be a Cedar namespace, or '' for none")
    .default('ZeroTrust')
    .meta({
      description: "Namespace of types and actions that are given without one; '' for a schema without.",
    }),
  callers: z
    .array(
      z
        .strictObject({
          allow: callers
            .default([])
            .meta({ description: 'SPIFFE IDs of the callers; `/*` at the end stands for any path below.' }),
          applications: applications(
            'Callers that a bearer token proves, as `<issuer name>/<sub>`; the issuer has `use: application`.',
          ),
          ...grant,
        })
        .refine(
          ({ allow, applications: named }) => allow.length + named.length > 0,
          'name at least one caller, by `allow` or by `applications`',
        ),
    )
    .default([])
    .meta({
      description:
        'Who may ask, and about what. One entry must cover a question whole. Empty: nobody. `grpc.allow`, the list of PEPs, counts for nothing here.',
    }),
  plaintext_callers: z.strictObject(grant).optional().meta({
    description:
      'What callers of a plaintext listener may ask, whoever they are. Absent: nothing. It is printed at start.',
  }),
  explain: z
    .strictObject({
      allow: callers.default([]).meta({
        description:
          'SPIFFE IDs of those who may have explanations, about anything and anybody; `/*` at the end stands for any path below. Empty: nobody. They are told the determining policies of checks too.',
      }),
      applications: applications(
        'The same for callers that a bearer token proves, as `<issuer name>/<sub>`.',
      ),
      plaintext: z.boolean().default(false).meta({
        description: 'Whether callers of a plaintext listener may have explanations. It is printed at start.',
      }),
    })
    .prefault({}),
  pips: z
    .record(z.string().regex(TYPE, 'must be the name of an entity type'), z.array(z.string().min(1)).min(1))
    .default({})
    .meta({
      description:
        'Subjects of information points (`pips[].subject`) by the entity type that they know, beside those that bindings name.',
    }),
  max_batch_items: z
    .int()
    .min(1)
    .max(10_000)
    .default(1000)
    .meta({ description: 'Questions in one batch; more are refused.' }),
  search: z
    .strictObject({
      max_page: z.int().min(1).max(10_000).default(100).meta({ description: 'Results on one page.' }),
      max_candidates: z
        .int()
        .min(1)
        .max(100_000)
        .default(2000)
        .meta({ description: 'Candidates that one call looks at; the next page goes on from there.' }),
      timeout_ms: ms(1000, 'Limit on one call; what was not looked at is left to the next page.'),
    })
    .prefault({}),
  batch_timeout_ms: ms(1000, 'Limit on a whole batch; the caller can only shorten it.'),
});
