import { authzenRoutes } from '../api/authzen/routes.ts';
import type { HttpRoutes } from '../api/http/http-server.ts';
import type { InFlight } from '../api/in-flight.ts';
import type { LogWriter } from '../audit/log/log-writer.ts';
import { isPlaintext } from '../config/surfaces.ts';
import type { Config } from '../config.ts';
import { accessOf, questionOptions } from './check.ts';
import type { Metrics } from '../telemetry.ts';
import { type Core, SYSTEM_CLOCK } from './core.ts';

/** What the AuthZEN API shares with the rest of the process. */
export interface AuthzenShares {
  readonly inFlight: InFlight;
  readonly writer: Pick<LogWriter, 'appendControl'>;
  /** Told of every search that is answered. */
  readonly observers: readonly (Pick<Metrics, 'searched'> | undefined)[];
}

/** The routes of the AuthZEN API, where it is configured; for the callers that may ask `pdp.v1.DecisionService`. */
export function authzenOf(
  config: Config,
  core: Core,
  { inFlight, writer, observers }: AuthzenShares,
): readonly HttpRoutes[] {
  const { authzen, check, decision, http } = config;
  if (!authzen) return [];
  const { decisionPoint, unrecorded, sources, policies: snapshots, applications, headerOfToken } = core;
  return [
    authzenRoutes({
      clock: SYSTEM_CLOCK,
      decisionPoint,
      unrecorded,
      sources: sources.all,
      async record(report) {
        for (const observer of observers) observer?.searched(report);
        await writer.appendControl('search', { ...report });
      },
      maxPage: check.search.max_page,
      maxCandidates: check.search.max_candidates,
      searchTimeoutMs: check.search.timeout_ms,
      snapshots,
      inFlight,
      access: accessOf(check, isPlaintext('http', http), applications),
      questions: questionOptions(config, headerOfToken),
      maxBatchItems: check.max_batch_items,
      timeoutMs: decision.timeout_ms,
      batchTimeoutMs: check.batch_timeout_ms,
      ...(authzen.base_url !== undefined && { baseUrl: authzen.base_url }),
    }),
  ];
}
