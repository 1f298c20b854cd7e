import { z } from 'zod';
import { SIGNING_ALGORITHMS } from '../api/onward/signing-key.ts';
import { file, headerName } from './parts.ts';

/** Fields that mean something to the connection, the PEP or the backend's own trust; one of them cannot carry the identity. */
const TAKEN =
  /^(?:host|connection|content-.*|transfer-encoding|te|trailer|upgrade|keep-alive|expect|authorization|cookie|proxy-.*|x-envoy-.*|x-forwarded-.*|x-request-id|x-pdp-decision-id|grpc-.*)$/;

/** How long a key that is made in memory signs where nothing else is said, in s. */
export const ROTATE_S = 86_400;

const Keys = z
  .strictObject({
    dir: file(
      'Folder of PKCS #8 PEM files (`*.pem`, Ed25519 or P-256) that replicas share; the newest by name signs. Absent: made in memory, for a single process.',
    ).optional(),
    rotate_s: z.int().min(600).optional().meta({
      description: 'How long a key that is made in memory signs; a day where not given. In s.',
    }),
    publish_ahead_s: z.int().min(0).max(86_400).default(300).meta({
      description:
        'How long a key is published before it signs: as long as backends may cache the key set. In s.',
    }),
  })
  .superRefine(({ dir, rotate_s: rotate, publish_ahead_s: ahead }, context) => {
    const issue = (message: string): void =>
      context.addIssue({ code: 'custom', path: ['rotate_s'], message });
    if (dir !== undefined && rotate !== undefined)
      issue('has no effect with `dir`, whose keys are not made here');
    if (dir === undefined && (rotate ?? ROTATE_S) <= 2 * ahead)
      issue('must be more than twice publish_ahead_s');
  });

/** `onward_identity`. */
export const OnwardIdentity = z
  .strictObject({
    issuer: z
      .string()
      .min(1)
      .meta({ description: '`iss` of the tokens; the URL of this service as backends know it.' }),
    header: headerName
      .regex(/^[a-z0-9]+(-[a-z0-9]+){0,6}$/, 'must be a lower-case header name with at most six dashes')
      .refine((name) => !TAKEN.test(name), 'is a header with a meaning of its own')
      .default('x-pdp-identity')
      .meta({
        description: "Header that carries the token upstream. A client's own copies never get through.",
      }),
    ttl_s: z.int().min(1).max(60).default(30).meta({ description: 'Life of a token. In s.' }),
    audience: z.string().min(1).default('service').meta({
      description:
        '`aud`: `service` for the SPIFFE ID of the destination, else its host; any other value is used for every token.',
    }),
    algorithm: z
      .enum(SIGNING_ALGORITHMS)
      .default('EdDSA')
      .meta({ description: 'Signature: EdDSA is Ed25519, ES256 is ECDSA with P-256.' }),
    user_claims: z.array(z.string().min(1)).default([]).meta({
      description:
        "Attributes of the user's token (`issuers[].claims.attributes`) that go upstream as `user.claims`; no other claim does.",
    }),
    keys: Keys.prefault({}),
  })
  .meta({
    description:
      'A signed token about who was permitted, for the service behind the PEP. Absent: none is sent.',
  });
