import type { BindingMatch } from '../../pdp/bindings/binding.ts';
import { type Refusal, isRefusal } from '../../pdp/decision.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { Recorded } from './recorded.ts';

/** The bindings that a recorded request met and would meet. */
export interface Routes {
  /** Absent: the default binding, or a question about entities. */
  readonly was?: BindingMatch;
  readonly is?: BindingMatch;
}

/** What the new binding table looks at and records do not hold. */
export interface Unseen {
  /** In words: `header 'x-tenant'`. */
  readonly unseen: readonly string[];
}

/**
 * Asks the new binding table with the recorded method, path, host and destination. A table that did not change gives the binding that was
 * recorded, whatever its conditions look at. A refusal where the request could be read in two ways.
 */
export function routesOf(
  recorded: Recorded,
  old: Pick<PolicySnapshot, 'bindings' | 'texts'> | undefined,
  next: PolicySnapshot,
): Routes | Unseen | Refusal {
  const { http, binding } = recorded;
  if (!http) return {};
  const was = binding === undefined ? undefined : old?.bindings.filled(binding, http.path);
  const is = old && hasSameBindings(old, next) ? filled(recorded, next) : matched(recorded, next);
  if (is && (isRefusal(is) || 'unseen' in is)) return is;
  return { ...(was && !isRefusal(was) && { was }), ...(is && { is }) };
}

/** Whether two snapshots bind every request alike. */
export function hasSameBindings(
  one: Pick<PolicySnapshot, 'texts'>,
  other: Pick<PolicySnapshot, 'texts'>,
): boolean {
  const [texts, others] = [one, other].map(({ texts: { bindings = [] } }) =>
    bindings.map(({ text }) => text),
  );
  return JSON.stringify(texts) === JSON.stringify(others);
}

function filled({ http, binding }: Recorded, next: PolicySnapshot): BindingMatch | Refusal | undefined {
  return binding === undefined || !http ? undefined : next.bindings.filled(binding, http.path);
}

function matched(
  { http, service }: Recorded,
  { bindings }: PolicySnapshot,
): BindingMatch | Unseen | Refusal | undefined {
  if (!http) return undefined;
  const unseen = new Set<string>();
  const match = bindings.match({
    ...http,
    service,
    header(name) {
      unseen.add(`header '${name}'`);
      return [];
    },
    extension(name) {
      unseen.add(`context extension '${name}'`);
      return undefined;
    },
  });
  return unseen.size > 0 ? { unseen: [...unseen] } : match;
}
