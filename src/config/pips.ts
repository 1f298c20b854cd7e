import { z } from 'zod';
import { file } from './parts.ts';
import { HttpPip, checkMapping, postureMapping } from './pip-http.ts';
import { localPip, remotePip } from './pip-parts.ts';
import { ScimPip } from './pip-scim.ts';
import { ThreatPip } from './pip-threats.ts';
import { checkRedis, redisServer } from './redis.ts';

/** One of `pips`. */
export const Pip = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z
        .literal('static_file')
        .meta({ description: 'Facts from a JSON file, re-read when it changes.' }),
      ...localPip,
      file: file('JSON object: subject id → attributes.'),
    }),
    z
      .strictObject({
        kind: z
          .literal('redis')
          .meta({ description: 'Facts from Redis: JSON text or a hash under `<key_prefix><subject id>`.' }),
        ...remotePip({ timeoutMs: 20, concurrency: 256, queue: 1024 }),
        ...redisServer,
        key_prefix: z.string().min(1).meta({ description: 'Prefix of the keys.' }),
        ...postureMapping,
      })
      .superRefine(checkRedis)
      .superRefine(checkMapping),
    HttpPip,
    ScimPip,
    ThreatPip,
  ])
  .superRefine(checkFailureModes);

interface FailureModes {
  readonly gives: readonly string[];
  readonly on_failure: string;
  readonly on_failure_by_attribute: { readonly [attribute: string]: string };
  readonly max_stale_ms?: number;
}

function checkFailureModes(
  point: FailureModes | z.output<typeof ThreatPip>,
  context: z.core.$RefinementCtx,
): void {
  // All of its facts are one attribute, which one mode covers.
  if (!('gives' in point)) return;
  const { gives, on_failure, on_failure_by_attribute, max_stale_ms = 0 } = point;
  const refuse = (path: string[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  const checkBound = (mode: string, path: string[]): void => {
    if (mode === 'last_known' && max_stale_ms === 0)
      refuse(path, 'last_known needs max_stale_ms: for how long what was known last may be used');
  };
  checkBound(on_failure, ['on_failure']);
  for (const [attribute, mode] of Object.entries(on_failure_by_attribute)) {
    const path = ['on_failure_by_attribute', attribute];
    if (!gives.includes(attribute)) refuse(path, `'${attribute}' is not in gives`);
    checkBound(mode, path);
  }
}
