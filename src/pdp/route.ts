import type { BindingMatch } from './bindings/binding.ts';
import type { BindingTable } from './bindings/binding-table.ts';
import { type Refusal, refuse } from './decision.ts';
import { typeName } from './entities.ts';
import type { EntityUid } from './evaluation.ts';
import type { Asked, Authentication, Received } from './trace.ts';

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

/** The action that a question is about: the one that it names, that of its binding, else its HTTP method. */
export function actionOf(
  { asked, canonical }: Pick<Received, 'asked' | 'canonical'> | Pick<Asked, 'asked' | 'canonical'>,
  route: BindingMatch | undefined,
): EntityUid {
  return asked ? asked.action : (route?.action ?? { type: ACTION, id: canonical.method });
}

const ACTION = typeName('Action');
