import { z } from 'zod';
import type { Issuer } from './identity.ts';
import { file, spiffePattern } from './parts.ts';
import { LOOPBACK } from './rules.ts';
import { type SurfaceConfig, isPlaintext } from './surfaces.ts';

const DAY_S = 86_400;
const MONTH_S = 30 * DAY_S;

/** `revocation`. */
export const Revocation = z.strictObject({
  max_lag_ms: z.int().min(100).max(600_000).default(5000).meta({
    description:
      'While changes of other replicas may have been missed for longer than this, no cached decision and no cached fact is used. In ms.',
  }),
  deny_after_ms: z.int().min(100).max(86_400_000).default(60_000).meta({
    description: 'After this long every check is denied (`state_unavailable`), see `on_lost`. In ms.',
  }),
  on_lost: z.enum(['deny', 'last_known']).default('deny').meta({
    description:
      'What is done then: `deny`, or go on with the revocations that were known last (`last_known`), whoever was revoked meanwhile.',
  }),
  keep_s: z
    .int()
    .min(60)
    .max(10 * 365 * DAY_S)
    .default(MONTH_S)
    .meta({
      description:
        'How long it is remembered that what was issued before a time is void: longer than any token lives. In s.',
    }),
  events_max_age_s: z
    .int()
    .min(60)
    .max(10 * 365 * DAY_S)
    .default(MONTH_S)
    .meta({
      description:
        'How long what security events said of devices and users holds where nothing newer is known. In s.',
    }),
  admins: z.array(spiffePattern).default([]).meta({
    description:
      'SPIFFE IDs that may revoke, over mutual TLS, on the ops surface; `ops.allow` counts for nothing there. Empty: nobody.',
  }),
  admin_token_file: file(
    'File with the token, 32 characters or more, that revokes where the ops surface is plaintext on a loopback address. Absent: nobody can.',
  ).optional(),
  file: file(
    'Shut-offs that are in force in this process as long as they are in this file: a YAML or JSON list, re-read when it changes.',
  ).optional(),
});

/** The parts of the configuration that revocation has to do with. */
export interface RevocationSettings {
  readonly revocation: z.output<typeof Revocation>;
  readonly ops: SurfaceConfig;
  readonly issuers: readonly z.output<typeof Issuer>[];
}

/** Adds an issue for each setting of `revocation` that would silently do nothing, or less than it should. */
export function checkRevocation(config: RevocationSettings, context: z.core.$RefinementCtx): void {
  const { revocation, issuers, ops } = config;
  const issue = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: ['revocation', key], message });
  if (revocation.deny_after_ms < revocation.max_lag_ms)
    issue('deny_after_ms', 'must not be less than max_lag_ms');
  for (const { name, max_age_s: maxAgeS = 0, skew_s: skewS } of issuers)
    if (maxAgeS > 0 && revocation.keep_s < maxAgeS + skewS)
      issue(
        'keep_s',
        `must not be less than the ${maxAgeS + skewS} s (max_age_s and skew_s) that tokens of issuer '${name}' may live: a revoked one would be good again`,
      );
  const plaintext = isPlaintext('ops', ops);
  if (plaintext && revocation.admins.length > 0)
    issue('admins', 'has no effect while ops is plaintext, where nobody has a SPIFFE ID');
  if (!plaintext && revocation.admin_token_file !== undefined)
    issue('admin_token_file', 'has no effect while ops is over mutual TLS: see admins');
  if (plaintext && !LOOPBACK.test(ops.address) && revocation.admin_token_file !== undefined)
    issue('admin_token_file', 'is for loopback addresses only: anybody on the way could read the token');
}
