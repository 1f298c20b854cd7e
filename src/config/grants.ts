import { z } from 'zod';
import { name } from './parts.ts';
import { DEMO_ISSUER } from './rules.ts';

const DAY_S = 86_400;
const YEAR_S = 366 * DAY_S;

const seconds = (max: number) => z.int().min(1).max(max);

/** Seconds for which glass may be broken, where a scope does not say it. */
export const BREAK_GLASS_MAX_S = 3600;

const people = {
  users: z
    .array(z.string().regex(/^[^/]+\/./, 'must be <issuer name>/<sub>'))
    .default([])
    .meta({ description: 'Users, `<issuer name>/<sub>`.' }),
  groups: z.array(z.string().min(1)).default([]).meta({
    description:
      'Groups as policies name them: `<issuer name>/<group>` of a token, or the name that an information point gives.',
  }),
};

const Scope = z
  .strictObject({
    name: name.meta({ description: 'Short name, as policies read it in `grants` and `break_glass`.' }),
    max_s: seconds(30 * DAY_S).meta({ description: 'The longest that a grant may be. In s.' }),
    break_glass: z
      .boolean()
      .default(false)
      .meta({ description: 'Whether it may be taken at once, without approval, in an emergency.' }),
    break_glass_max_s: seconds(DAY_S)
      .optional()
      .meta({ description: 'The longest that it may be so taken; an hour where not given. In s.' }),
    requesters: z
      .strictObject({
        issuers: z.array(name).default([]).meta({ description: 'Names of issuers: all their users.' }),
        ...people,
      })
      .prefault({})
      .meta({ description: 'Who may ask for it, and take it by breaking glass.' }),
    approvers: z
      .strictObject(people)
      .prefault({})
      .meta({ description: 'Who may approve, deny and revoke. Nobody approves a request of their own.' }),
    approvals: z.int().min(1).max(10).default(1).meta({ description: 'How many approvers must approve.' }),
  })
  .superRefine((scope, context) => {
    const issue = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    const { users, groups } = scope.approvers;
    if (
      groups.length === 0 &&
      new Set(users).size < scope.approvals &&
      !(scope.break_glass && users.length === 0)
    )
      issue(
        'approvers',
        `are fewer than the ${scope.approvals} who must approve: no request could be granted`,
      );
    const { requesters } = scope;
    if ([requesters.issuers, requesters.users, requesters.groups].every(({ length }) => length === 0))
      issue('requesters', 'must name somebody: nobody could ask for it');
    if (scope.break_glass_max_s !== undefined && !scope.break_glass)
      issue('break_glass_max_s', 'has no effect without break_glass');
    if ((scope.break_glass_max_s ?? 0) > scope.max_s) issue('break_glass_max_s', 'must not be above max_s');
  });

/** `grants`. */
export const Grants = z
  .strictObject({
    scopes: z.array(Scope).min(1).max(1000).meta({ description: 'What may be granted.' }),
    request_ttl_s: seconds(30 * DAY_S)
      .default(DAY_S)
      .meta({ description: 'How long a request waits for approval before it expires. In s.' }),
    keep_s: z
      .int()
      .min(DAY_S)
      .max(YEAR_S)
      .default(30 * DAY_S)
      .meta({ description: 'How long a grant can be listed after its end. In s.' }),
    max_open_per_user: z
      .int()
      .min(1)
      .max(1000)
      .default(10)
      .meta({ description: 'Requests of one user that may wait for approval at once.' }),
    requests_per_day: z
      .int()
      .min(1)
      .max(1000)
      .default(50)
      .meta({ description: 'Requests of one user in 24 hours, of any kind.' }),
    break_glass_per_day: z
      .int()
      .min(1)
      .max(100)
      .default(3)
      .meta({ description: 'How often one user may break glass for one scope in 24 hours.' }),
    max_lag_ms: z.int().min(100).max(3_600_000).default(60_000).meta({
      description:
        'How long the shared state may be out of touch with its Redis before nothing is said of grants any more (`on_failure`). In ms.',
    }),
    on_failure: z.enum(['deny', 'omit']).default('deny').meta({
      description:
        'What it means for a check that nothing is said of grants: deny, or go on as if there were none.',
    }),
  })
  .superRefine(({ scopes, break_glass_per_day: times }, context) => {
    for (const [
      index,
      { break_glass: allowed, break_glass_max_s: maxS = BREAK_GLASS_MAX_S },
    ] of scopes.entries())
      if (allowed && maxS * times >= DAY_S)
        context.addIssue({
          code: 'custom',
          path: ['scopes', index, 'break_glass_max_s'],
          message: `${maxS} s, ${times} times a day, is all day: breaking glass would be standing access`,
        });
    for (const [index, scope] of scopes.entries())
      if (scopes.findIndex((other) => other.name === scope.name) !== index)
        context.addIssue({
          code: 'custom',
          path: ['scopes', index, 'name'],
          message: `'${scope.name}' is taken already`,
        });
  });

interface GrantSettings {
  readonly grants?: z.output<typeof Grants> | undefined;
  readonly issuers: readonly { readonly name: string; readonly use: string }[];
  readonly demo: boolean;
  readonly pips: readonly { readonly subject: string; readonly gives?: readonly string[] }[];
}

/** Adds an issue where grants are configured and nobody could ask for one, or somebody else could say who has one. */
export function checkGrants(
  { grants, issuers, demo, pips }: GrantSettings,
  context: z.core.$RefinementCtx,
): void {
  if (!grants) return;
  const issue = (path: PropertyKey[], message: string) => context.addIssue({ code: 'custom', path, message });
  const known = issuers.flatMap(({ name: issuer, use }) => (use === 'user' ? issuer : []));
  if (demo) known.push(DEMO_ISSUER);
  for (const [index, { requesters }] of grants.scopes.entries())
    for (const [at, issuer] of requesters.issuers.entries())
      if (!known.includes(issuer))
        issue(['grants', 'scopes', index, 'requesters', 'issuers', at], `'${issuer}' is no issuer of users`);
  if (known.length === 0)
    issue(['grants'], 'has no effect without an issuer of users: nobody could ask for a grant');
  for (const [index, { subject, gives = [] }] of pips.entries())
    if (subject === 'user' && gives.some((name) => name === 'grants' || name === 'break_glass'))
      issue(
        ['pips', index, 'gives'],
        'must not hold grants or break_glass: those are for the grant book to say',
      );
}
