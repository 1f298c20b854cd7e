import type { z } from 'zod';

/** Literal loopback addresses and `localhost`, with port; a name like `127.example.com` may lead anywhere. */
export const LOOPBACK = /^(127(\.\d{1,3}){3}|localhost|\[::1\]):\d+$/;

/** Name of the issuer that demo mode adds. */
export const DEMO_ISSUER = 'demo';

/** What policies are told of its tokens, by attribute of `context.token`. */
export const DEMO_ATTRIBUTES = {
  amr: { claim: 'amr', type: 'string_set' },
  scope: { claim: 'scope', type: 'string_set' },
} as const;

/** Adds an issue for each item whose name an earlier item, or `taken`, has already. */
export function refuseRepeats(
  items: readonly { name: string }[],
  key: string,
  context: z.core.$RefinementCtx,
  taken: readonly string[] = [],
): void {
  for (const [index, item] of items.entries()) {
    const isFirst = items.findIndex((other) => other.name === item.name) === index;
    if (isFirst && !taken.includes(item.name)) continue;
    context.addIssue({
      code: 'custom',
      path: [key, index, 'name'],
      message: `'${item.name}' is taken already`,
    });
  }
}
