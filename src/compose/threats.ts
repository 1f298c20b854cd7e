import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';
import { type ThreatListSettings, type ThreatPoint, openThreats } from '../pip/threats/open-threats.ts';

type ThreatPip = Extract<Config['pips'][number], { readonly kind: 'threat_intel' }>;

/** Opens the threat lists of one information point. Throws `InputError` for what people wrote wrong. */
export async function openThreatPip(
  { name, subject, on_failure: onFailure, fresh_ms: freshMs, lists }: ThreatPip,
  parts: { readonly clock: Clock; readonly log: Log },
): Promise<ThreatPoint> {
  return await openThreats({ ...parts, name, subject, onFailure, freshMs, lists: lists.map(listSettings) });
}

function listSettings(list: ThreatPip['lists'][number]): ThreatListSettings {
  return {
    name: list.name,
    from: 'file' in list ? { file: list.file } : urlOf(list),
    refreshMs: list.refresh_ms,
    maxAgeMs: list.max_age_s * 1_000,
    maxEntries: list.max_entries,
    maxBytes: list.max_bytes,
    mayBeEmpty: list.may_be_empty,
  };
}

function urlOf(list: Extract<ThreatPip['lists'][number], { readonly url: string }>) {
  const { url, token_file: tokenFile, timeout_ms: timeoutMs } = list;
  return { url, timeoutMs, ...(tokenFile !== undefined && { tokenFile }) };
}
