import cluster from 'node:cluster';
import type { Logger } from 'pino';
import { Counter, Gauge } from 'prom-client';
import { openGate } from '../../api/ops/ops-admin.ts';
import { type OpsParts, startOpsServer } from '../../api/ops/ops.ts';
import { json } from '../../api/ops/ops-route.ts';
import { LOOPBACK } from '../../config/rules.ts';
import { isPlaintext } from '../../config/surfaces.ts';
import { workerCount } from '../../config/workers.ts';
import type { Config } from '../../config.ts';
import { type Metrics, createMetrics } from '../../telemetry.ts';
import { SYSTEM_CLOCK } from '../core.ts';
import { revocationRoutesOf } from '../revocation-admin.ts';
import { listeningOf } from '../surfaces.ts';
import { type OwnIdentity, openIdentity } from '../svid.ts';
import { Fleet } from './fleet.ts';
import type { ReportedMetric } from './merged-metrics.ts';
import { type Started, WorkerSlot } from './worker-slot.ts';

/** The process that keeps the workers. */
export interface Primary {
  readonly addresses: Started['addresses'] & { readonly ops: string };
  /** What is printed at the start. */
  readonly banner: string;
  /** Has all workers look for changed policies. */
  reload(): void;
  /** Readiness falls, all workers drain and end, then the ops surface does. */
  stop(): Promise<void>;
}

/** What a worker may take for its end beside the drain: its log is sealed, and its sinks are told. */
const CLOSING_MS = 20_000;

/**
 * Serves the ops surface, and starts the workers: the first by itself, since it makes what is not there yet (keys, streams), then the
 * others. Rejects, with nothing left running, where one cannot start.
 */
export async function startPrimary(
  config: Config,
  log: Logger,
  { file, signal }: { readonly file: string | undefined; readonly signal: AbortSignal },
): Promise<Primary> {
  await using stack = new AsyncDisposableStack();
  const metrics = createMetrics();
  const plaintext = isPlaintext('ops', config.ops);
  const around = { clock: SYSTEM_CLOCK, log, metrics };
  const identity = plaintext ? undefined : await openIdentity(config.spiffe, around, stack);
  await identity?.held(signal);
  const state = { phase: 'starting' as 'starting' | 'serving' | 'draining' };
  const restarts = workerMetrics(metrics, () => slots.filter(({ pid }) => pid !== undefined).length);
  const parts = {
    config,
    file,
    clock: SYSTEM_CLOCK,
    log,
    onLost(number: number) {
      restarts();
      fleet.lost(number);
    },
  };
  const slots: WorkerSlot[] = [];
  const fleet = new Fleet(slots);
  const own = () => ownReadiness(state.phase, identity);
  const ops = stack.use(
    await startOpsServer({
      ...opsOf(config, fleet, { own, metrics }),
      ...listeningOf('ops', config, identity),
    }),
  );
  const { lag_ms: lagMs, grace_ms: graceMs } = config.shutdown;
  const withinMs = lagMs + graceMs + config.audit.sinks_drain_ms + CLOSING_MS;
  stack.defer(async () => void (await Promise.all(slots.map((slot) => slot.stop(withinMs)))));
  for (let number = 1; number <= workerCount(config.workers); number++)
    slots.push(new WorkerSlot(number, { ...parts, opsAddress: ops.address }));
  const [first] = await startAll(slots, signal);
  state.phase = 'serving';
  const owned = stack.move();
  return {
    addresses: { ...first.addresses, ops: ops.address },
    banner: first.banner,
    reload: () => slots.forEach((slot) => slot.reload()),
    async stop() {
      state.phase = 'draining';
      await owned.disposeAsync();
    },
  };
}

async function startAll(slots: readonly WorkerSlot[], signal: AbortSignal): Promise<readonly [Started]> {
  // Connections are few and stay for long, so each goes to the next worker: a socket that all of them share lets whoever is awake first take most.
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({ args: ['serve'], serialization: 'advanced' });
  const stopped = Promise.withResolvers<never>();
  const abort = () => stopped.reject(signal.reason);
  stopped.promise.catch(() => undefined);
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    const [first, ...others] = slots;
    if (!first) throw new Error('there are no workers to start');
    const started = await Promise.race([first.begin(), stopped.promise]);
    await Promise.race([Promise.all(others.map((slot) => slot.begin())), stopped.promise]);
    return [started];
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function opsOf(
  config: Config,
  fleet: Fleet,
  { own, metrics }: { readonly own: () => ReturnType<typeof ownReadiness>; readonly metrics: Metrics },
): Omit<OpsParts, 'address' | 'tls'> {
  return {
    clock: SYSTEM_CLOCK,
    gate: openGate(config.ops.admin_token_file, LOOPBACK.test(config.ops.address)),
    rollout: fleet.rollout,
    readiness: () => fleet.readiness(own()),
    metrics: async () =>
      fleet.metrics((await metrics.registry.getMetricsAsJSON()) as unknown as readonly ReportedMetric[]),
    more: new Map([
      ...revocationRoutesOf(config, fleet),
      [
        '/event-streams',
        [{ method: 'GET' as const, answer: async () => json(200, await fleet.eventStreams()) }],
      ],
    ]),
  };
}

function ownReadiness(phase: 'starting' | 'serving' | 'draining', identity: OwnIdentity | undefined) {
  const nobody = identity?.problem();
  return {
    problems: [
      ...(phase === 'starting' ? ['not all workers have started yet'] : []),
      ...(phase === 'draining' ? ['shutting down'] : []),
      ...(nobody === undefined ? [] : [nobody]),
    ],
    warnings: identity?.warnings() ?? [],
  };
}

function workerMetrics({ registry }: Metrics, running: () => number): () => void {
  const registers = [registry];
  const lost = new Counter({
    name: 'pdp_workers_lost_total',
    help: 'Workers that ended without being asked to.',
    registers,
  });
  const gauge: Gauge = new Gauge({
    name: 'pdp_workers',
    help: 'Worker processes that run.',
    registers,
    collect: () => gauge.set(running()),
  });
  return () => lost.inc();
}
