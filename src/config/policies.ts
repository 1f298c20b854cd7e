import { z } from 'zod';
import { file, ms } from './parts.ts';
import { fetchUrlProblem } from '../pdp/fetch-url.ts';

const publicKey = () => file('Ed25519 public key, PEM.');

const SignedDir = z.strictObject({
  dir: file('Folder of policy sets with `manifest.json` and `manifest.sig` (`pdp policy sign`).'),
  public_keys: z
    .array(publicKey(), { error: 'name at least one public key' })
    .min(1, 'name at least one public key')
    .meta({ description: 'Whose signatures are taken: Ed25519 public keys, PEM.' }),
});

const bundle = (cacheFile: string) =>
  z.strictObject({
    url: z
      .string()
      .refine(
        (url) => fetchUrlProblem(url) === undefined,
        'must be https:// (http:// on loopback only), without credentials',
      )
      .meta({ description: 'Where the bundle is fetched (`pdp policy pack`); https, except on loopback.' }),
    cache_file: file(
      'Keeps the last bundle, so that a restart without the source serves. Writable by this service alone.',
    ).default(cacheFile),
    public_keys: z.array(publicKey()).default([]).meta({
      description: 'Whose signatures are taken: Ed25519 public keys, PEM. Empty: unsigned is taken.',
    }),
    poll_ms: z
      .int()
      .min(100)
      .default(10_000)
      .meta({ description: 'How often the source is asked for a change. In ms.' }),
    allow_rollback: z
      .boolean()
      .default(false)
      .meta({ description: 'Take older revisions, too; for a deliberate step back.' }),
  });

const choices = (cacheFile: string) => ({
  sets: z
    .array(file('A policy set folder.'), { error: 'name at least one policy set folder' })
    .min(1, 'name at least one policy set folder')
    .optional()
    .meta({ description: 'Policy set folders; together they are one snapshot.' }),
  signed_dir: SignedDir.optional().meta({ description: 'A folder of policy sets, signed as a whole.' }),
  bundle: bundle(cacheFile).optional().meta({ description: 'A bundle from a URL.' }),
});

const KINDS = ['sets', 'signed_dir', 'bundle'] as const;

/** Where policies are is one place: a mixture would be a set that nobody has tested. */
function exactlyOne(
  value: { readonly [kind in (typeof KINDS)[number]]?: unknown },
  context: z.core.$RefinementCtx,
): void {
  const given = KINDS.filter((kind) => value[kind] !== undefined);
  if (given.length === 1) return;
  const message =
    given.length === 0
      ? 'say where the policies are: one of sets, signed_dir and bundle'
      : `${given.join(' and ')} exclude each other: give one of them`;
  context.addIssue({ code: 'custom', message });
}

const Candidate = z
  .strictObject({
    ...choices('.pdp/policies/candidate.bundle'),
    sample: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .meta({ description: 'Share of the checks that are also decided by the candidate, 0 to 1.' }),
  })
  .superRefine(exactlyOne);

/** `policies`: where they come from, and what may come next. */
export const Policies = z
  .strictObject({
    ...choices('.pdp/policies/active.bundle'),
    reload_ms: ms(2000, 'How often folders are looked at for changes; 0 never.'),
    candidate: Candidate.optional().meta({
      description:
        'Policies that are decided with beside those in force, in shadow, until they are promoted.',
    }),
    state_file: file('Remembers a promotion across restarts.').default('.pdp/policies/state.json'),
  })
  .superRefine(exactlyOne)
  .superRefine(({ bundle: active, candidate }, context) => {
    if (active === undefined || active.cache_file !== candidate?.bundle?.cache_file) return;
    const message = 'must differ from that of the policies in force';
    context.addIssue({ code: 'custom', path: ['candidate', 'bundle', 'cache_file'], message });
  });
