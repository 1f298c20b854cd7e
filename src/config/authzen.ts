import { z } from 'zod';
import { fetchUrlProblem } from '../pdp/fetch-url.ts';

/** Why a URL is none that callers can know us by; `undefined`: it is one. */
function baseUrlProblem(text: string): string | undefined {
  const problem = fetchUrlProblem(text);
  if (problem !== undefined) return problem;
  const { search, hash } = new URL(text);
  if (search !== '' || hash !== '' || /[?#]$/.test(text)) return 'must not have a query or a fragment';
  return text.endsWith('/') ? "must not end with '/'" : undefined;
}

/** `authzen`: the OpenID AuthZEN Authorization API 1.0 on the HTTP surface. */
export const Authzen = z.strictObject({
  base_url: z
    .string()
    .superRefine((text, context) => {
      const message = baseUrlProblem(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    })
    .optional()
    .meta({
      description:
        'URL by which callers know us, for the metadata at /.well-known/authzen-configuration; https, except on loopback. Absent: no metadata. What a request says of its host counts for nothing.',
    }),
});
