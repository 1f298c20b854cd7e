import type { BindingMatch } from './bindings/binding.ts';
import type { BindingTable } from './bindings/binding-table.ts';
import { type Refusal, refuse } from './decision.ts';
import type { Authentication, Received } from './trace.ts';

/**
 * The binding that a request meets. `undefined`: none, and the default binding applies. A refusal where the request could be read
 * in two ways by what the bindings look at.
 */
export function matchRoute(
  bindings: BindingTable,
  { canonical, identities, request }: Received & Authentication,
): BindingMatch | Refusal | undefined {
  if (bindings.size === 0) return undefined;
  const { headers } = request.http;
  for (const name of bindings.headers) {
    if (headers.hasUnderscoreTwin(name))
      return refuse('header_ambiguous', `'${name}' is also sent with underscores`);
  }
  return bindings.match({
    ...canonical,
    service: identities.destination?.id,
    header: (name) => headers.separate(name),
    extension: (name) => request.contextExtensions.get(name),
  });
}
