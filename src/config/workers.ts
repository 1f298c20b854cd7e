import { availableParallelism } from 'node:os';
import { z } from 'zod';
import type { SharedState } from './shared-state.ts';

/** Processes beyond that would only wait for each other. */
const MAX_WORKERS = 256;

/** `workers`. */
export const Workers = z
  .union([z.literal('auto'), z.int().min(1).max(MAX_WORKERS)], {
    error: `must be a number from 1 to ${MAX_WORKERS}, or auto`,
  })
  .default(1)
  .meta({
    description:
      'Processes that share the gRPC and the HTTP port, each with a decision log of its own (docs/workers.md): a number, or `auto` for one for each core.',
  });

/** How many worker processes a setting means on this machine; 1: the one process does everything itself. */
export function workerCount(workers: z.output<typeof Workers>): number {
  return workers === 'auto' ? Math.min(MAX_WORKERS, availableParallelism()) : workers;
}

interface Shared {
  readonly workers: z.output<typeof Workers>;
  readonly shared_state: z.output<typeof SharedState>;
  readonly revocation: { readonly admins: readonly string[]; readonly admin_token_file?: string | undefined };
  readonly event_streams: readonly unknown[];
  readonly grants?: object | undefined;
  readonly tokens: {
    readonly dpop: { readonly origins: object; readonly replay: { readonly kind: string } };
  };
  readonly onward_identity?: { readonly keys: { readonly dir?: string | undefined } } | undefined;
  readonly audit: { readonly sinks: readonly { readonly kind: string }[] };
}

/** Adds an issue for each thing that would be known to one worker only, where there may be several: a door that one of them leaves open. */
export function checkWorkers(config: Shared, context: z.core.$RefinementCtx): void {
  // `auto` counts as several on every machine, lest a configuration is good on one and not on the next.
  if (config.workers === 1) return;
  const issue = (path: PropertyKey[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  const writer = writerOf(config);
  if (config.shared_state.kind === 'embedded' && writer !== undefined)
    issue(
      ['shared_state'],
      `must be of the kind redis with several workers, for all of them share ${writer}`,
    );
  const { origins, replay } = config.tokens.dpop;
  if (Object.keys(origins).length > 0 && replay.kind === 'memory')
    issue(
      ['tokens', 'dpop', 'replay'],
      'must be of the kind redis with several workers: each would take a proof once',
    );
  if (config.onward_identity && config.onward_identity.keys.dir === undefined)
    issue(
      ['onward_identity', 'keys', 'dir'],
      'is needed with several workers: each would sign with keys that the others do not publish',
    );
  for (const [index, { kind }] of config.audit.sinks.entries())
    if (kind === 'stdout')
      issue(
        ['audit', 'sinks', index, 'kind'],
        'goes with one worker only: lines of several would be mixed on one standard output',
      );
}

/** What may change the shared state; without any of it the state is empty and stays so. */
function writerOf({ shared_state: state, revocation, event_streams: streams, grants }: Shared) {
  if (revocation.admin_token_file !== undefined || revocation.admins.length > 0) return 'revocations';
  if (streams.length > 0) return 'what security events say';
  if (grants) return 'grants';
  return state.kind === 'embedded' && state.journal !== undefined ? 'the journal' : undefined;
}
