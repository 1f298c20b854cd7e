import type { HttpRoutes } from '../api/http/http-server.ts';
import { keySetRoutes } from '../api/http/key-set.ts';
import type { InFlight } from '../api/in-flight.ts';
import type { OnwardIdentity } from '../api/onward/onward-identity.ts';
import { authzenOf } from './authzen.ts';
import type { Core } from './core.ts';
import type { EventStreams } from './event-streams.ts';
import { grantRoutesOf } from './grants.ts';
import type { Config } from '../config.ts';
import type { Tracing } from '../telemetry.ts';

interface HttpParts {
  readonly core: Core;
  readonly onward: OnwardIdentity | undefined;
  readonly events: EventStreams;
  readonly around: Parameters<typeof grantRoutesOf>[2] &
    Pick<Parameters<typeof authzenOf>[2], 'writer'> & {
      readonly metrics: Parameters<typeof authzenOf>[2]['observers'][number];
    };
  readonly inFlight: InFlight;
  readonly tracing: Tracing | undefined;
}

/** Everything that is served on the HTTP surface. */
export function httpRoutesOf(config: Config, parts: HttpParts): readonly HttpRoutes[] {
  const { core, onward, events, around, inFlight, tracing } = parts;
  const { writer, metrics } = around;
  return [
    ...keySetOf(config, onward),
    ...authzenOf(config, core, { inFlight, writer, observers: [metrics, tracing] }),
    ...grantRoutesOf(config, core, around),
    ...events.routes,
  ];
}

/** Proofs can only be checked against origins that are configured. */
export function dpopOf({ tokens: { dpop } }: Config): { readonly dpopAlgorithms?: readonly string[] } {
  return Object.keys(dpop.origins).length === 0 ? {} : { dpopAlgorithms: dpop.algorithms };
}

/** Backends may cache the keys for as long as a new one is published before it signs. */
function keySetOf(
  { onward_identity: onwardConfig }: Config,
  onward: OnwardIdentity | undefined,
): readonly HttpRoutes[] {
  if (!onward || !onwardConfig) return [];
  return [keySetRoutes({ document: () => onward.jwks(), maxAgeS: onwardConfig.keys.publish_ahead_s })];
}
