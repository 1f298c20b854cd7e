import { z } from 'zod';
import { headerName, spiffePattern } from './parts.ts';

const peps = z.array(spiffePattern).min(1, 'name at least one: nobody is believed unless named').meta({
  description:
    'SPIFFE IDs of the PEPs that write the header themselves and drop what clients send: exact, below a path (`spiffe://td/path/*`), or of a trust domain (`spiffe://td/*`).',
});

/** Header of service account tokens where nothing else is said. */
export const KUBERNETES_HEADER = 'x-workload-token';

const Xfcc = z
  .strictObject({
    from: peps,
    trusted_hops: z.int().min(1).max(8).default(1).meta({
      description:
        'Elements that are believed, counted from the right: 1 is the client of the PEP, 2 also the client of a proxy before it.',
    }),
    proxies: z.array(spiffePattern).default([]).meta({
      description:
        'SPIFFE IDs of the proxies before the PEP whose own elements are believed. Any other client of the PEP could write what it likes.',
    }),
    require_by: z.boolean().default(true).meta({
      description:
        'Refuse believed elements without `By`, which names the proxy that wrote them. Off: for proxies that leave it out.',
    }),
  })
  .superRefine(({ trusted_hops: hops, proxies }, context) => {
    if (hops > 1 === proxies.length > 0) return;
    const message =
      hops > 1
        ? 'is needed where more than one hop is trusted: who are the proxies?'
        : 'has no effect with trusted_hops: 1';
    context.addIssue({ code: 'custom', path: ['proxies'], message });
  });

/** `workloads`. */
export const Workloads = z.strictObject({
  verify_source_certificates: z.enum(['agree', 'chain']).default('agree').meta({
    description:
      '`agree`: where the PEP sends the certificate of the source, it says the same as the principal. `chain`: it must be sent, and lead to the bundle of its own trust domain; Envoy sends the leaf alone, so only without intermediate CAs.',
  }),
  xfcc: Xfcc.optional().meta({
    description: 'When to believe `x-forwarded-client-cert`. Absent: it is never read.',
  }),
  client_cert: z.strictObject({ from: peps }).optional().meta({
    description: 'When to believe `Client-Cert` (RFC 9440). Absent: it is never read.',
  }),
  jwt_svid: z
    .strictObject({
      header: headerName.default('x-jwt-svid').meta({
        description:
          'Header with the bare JWT-SVID; in `authorization`, bearer tokens whose `sub` is a SPIFFE ID.',
      }),
      audiences: z
        .array(z.string().min(1))
        .min(1, 'name at least one audience: a token for anybody is a token for nobody')
        .meta({ description: 'Values of `aud` that mean this service.' }),
    })
    .optional()
    .meta({ description: 'JWT-SVIDs, verified by our trust bundles. Absent: none is read.' }),
  kubernetes_token: z
    .strictObject({
      header: headerName.default(KUBERNETES_HEADER).meta({
        description: 'Header with the bare service account token of an issuer with `use: workload`.',
      }),
    })
    .prefault({}),
});

interface Surroundings {
  readonly workloads: z.output<typeof Workloads>;
  readonly spiffe?: object | undefined;
  readonly grpc: { readonly plaintext?: boolean | undefined };
}

/** Adds an issue for each setting of `workloads` that lacks what it rests on elsewhere in the configuration. */
export function checkWorkloads(
  { workloads, spiffe, grpc }: Surroundings,
  context: z.core.$RefinementCtx,
): void {
  const { xfcc, client_cert: clientCert, jwt_svid: jwtSvid } = workloads;
  const issue = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: ['workloads', key], message });
  const verified = {
    verify_source_certificates: workloads.verify_source_certificates === 'chain',
    client_cert: clientCert !== undefined,
    jwt_svid: jwtSvid !== undefined,
  };
  for (const [key, isUsed] of Object.entries(verified))
    if (isUsed && !spiffe) issue(key, 'needs trust bundles: see `spiffe`');
  for (const [key, isUsed] of Object.entries({
    xfcc: xfcc !== undefined,
    client_cert: clientCert !== undefined,
  }))
    if (isUsed && grpc.plaintext === true)
      issue(key, 'has no effect in plaintext, where no PEP has an identity');
}
