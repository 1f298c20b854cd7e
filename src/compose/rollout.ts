import type { Readiness, Rollout } from '../api/ops/ops.ts';
import type { LogWriter } from '../audit/log/log-writer.ts';
import type { Core } from './core.ts';
import { PdpError, messageOf } from '../pdp/errors.ts';
import type { Log } from '../pdp/log.ts';
import type { Activation, PolicySlots, SlotName } from '../pdp/policy-slots.ts';
import type { Clock } from '../pdp/ports.ts';

/** Records in the decision log what comes into force. */
export interface ActivationLog {
  onActivated(activation: Activation): void;
  /** Settles as the record of the newest activation does. */
  readonly newest: Promise<void>;
}

/** Makes the one place that activations are recorded by, whoever caused them. */
export function createActivationLog(writer: Pick<LogWriter, 'appendControl'>, log: Log): ActivationLog {
  let newest = Promise.resolve();
  return {
    onActivated(activation) {
      const { digest, before, slot, by, policies } = activation;
      newest = writer.appendControl('policy_activated', { digest, before, slot, by, policies });
      newest.catch((error: unknown) =>
        log.error({ ...activation, err: error }, 'an activation is not recorded'),
      );
    },
    get newest() {
      return newest;
    },
  };
}

/** What the ops surface can do with policies. A promotion that could not be recorded is not begun. */
export function createRollout(
  { policies, shadow }: Pick<Core, 'policies' | 'shadow'>,
  writer: Pick<LogWriter, 'healthy'>,
  activations: ActivationLog,
  clock: Clock,
): Rollout {
  const swap = async (run: () => Activation): Promise<object> => {
    if (!writer.healthy)
      throw new PdpError('audit_unavailable', 'nothing was changed: the decision log cannot be written');
    const activation = run();
    try {
      await activations.newest;
    } catch (error) {
      const words = `${activation.digest} is in force, but that is not recorded: ${messageOf(error)}`;
      throw new PdpError('audit_unavailable', words, { cause: error });
    }
    return activation;
  };
  return {
    policies: () => ({
      enforced: policies.enforced,
      rollback_to: policies.previous ?? null,
      slots: { sets: slotOf(policies, 'sets', clock), candidate: slotOf(policies, 'candidate', clock) },
    }),
    shadow: () => shadow?.report(),
    promote: (digest) => swap(() => policies.promote(digest)),
    rollback: (digest) => swap(() => policies.rollback(digest)),
  };
}

function slotOf(policies: PolicySlots, name: SlotName, clock: Clock): object | null {
  const source = policies.source(name);
  if (!source) return null;
  const { refusal } = source;
  const snapshot = source.current();
  return {
    enforced: policies.enforced === name,
    ...source.describe(),
    ...(snapshot && {
      digest: snapshot.digest,
      policies: snapshot.policyIds.length,
      loaded_at: new Date(snapshot.loadedAt).toISOString(),
      age_s: ageOf(snapshot.loadedAt, clock),
      observed_routes: snapshot.bindings.observed,
    }),
    ...(refusal !== undefined && { refused_change: refusal }),
  };
}

/** What `/readyz` says of policies. Without a snapshot every check is denied: that is not being ready. */
export function policyReadiness(policies: PolicySlots, clock: Clock): Omit<Readiness, 'ready'> {
  const snapshot = policies.current();
  const source = policies.source(policies.enforced);
  const refusal = source?.refusal;
  const candidate = policies.candidate.current();
  const problems = snapshot ? [] : [`no policies are loaded${refusal === undefined ? '' : `: ${refusal}`}`];
  return {
    problems,
    details: {
      slot: policies.enforced,
      ...Object.fromEntries(
        Object.entries(source?.describe() ?? {}).map(([name, value]) => [`policy_${name}`, value]),
      ),
      ...(snapshot && {
        snapshot: snapshot.digest,
        policies: snapshot.policyIds.length,
        snapshot_loaded_at: new Date(snapshot.loadedAt).toISOString(),
        snapshot_age_s: ageOf(snapshot.loadedAt, clock),
        observed_routes: snapshot.bindings.observed.length,
      }),
      ...(refusal !== undefined && { refused_change: refusal }),
      ...(candidate && { candidate: candidate.digest }),
    },
  };
}

/** Whole seconds. */
function ageOf(loadedAt: number, clock: Clock): number {
  return Math.max(0, Math.floor((clock.now() - loadedAt) / 1000));
}
