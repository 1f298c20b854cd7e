import { z } from 'zod';
import { trustDomainProblem } from '../pip/spiffe/spiffe-id.ts';
import { patternProblem } from '../pip/spiffe/spiffe-matcher.ts';

/** A short name in the configuration. */
export const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be lower-case letters, digits, - and _');

/** Where a surface listens. */
export const address = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port');

/** A path; relative ones are made absolute. */
export const file = (description: string) => z.string().min(1).meta({ description, format: 'path' });

/** A time in ms. */
export const ms = (fallback: number, description: string, min = 0) =>
  z
    .int()
    .min(min)
    .default(fallback)
    .meta({ description: `${description} In ms.` });

/** Turns a check that tells a problem in words into a refinement. */
export function refusing(problem: (text: string) => string | undefined) {
  return (text: string, context: z.core.$RefinementCtx<string>): void => {
    const message = problem(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  };
}

/** Name of a trust domain (SPIFFE-ID §2.1). */
export const trustDomain = z
  .string()
  .refine(
    (text) => trustDomainProblem(text) === undefined,
    'must be a trust domain in lower case, without spiffe:// and without a path',
  );

/** An entry of an allow list of workloads: a SPIFFE ID, all below a path, or all of a trust domain. */
export const spiffePattern = z.string().superRefine(refusing(patternProblem));

/** Name of a request header. */
export const headerName = z.string().regex(/^[a-z0-9-]{1,64}$/, 'must be the lower-case name of a header');
