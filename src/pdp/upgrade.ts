import type { HttpRequest } from './access-request.ts';
import { type Refusal, refuse } from './decision.ts';
import { asciiLowerCase } from './header-fields.ts';

/**
 * Refuses a request that turns the connection into something whose contents nobody decides on: CONNECT (RFC 9110 §9.3.6), extended
 * CONNECT (RFC 8441) and `upgrade` (RFC 9110 §7.8), unless every protocol it names is one of `accepted` (lower case). A protocol
 * that is not named is not accepted. The class of CVE-2025-64763 and CVE-2026-73548.
 */
export function checkUpgrade(
  { method, headers }: HttpRequest,
  accepted: readonly string[],
): Refusal | undefined {
  const protocols = [...headers.separate('upgrade'), ...headers.separate(':protocol')];
  if (protocols.length === 0) {
    const asks = method === 'CONNECT' || names(headers.separate('connection'), 'upgrade');
    return asks ? refuse('upgrade_refused', 'CONNECT or an upgrade that names no protocol') : undefined;
  }
  return protocols.every((protocol) => accepted.includes(asciiLowerCase(protocol)))
    ? undefined
    : refuse('upgrade_refused', 'an upgrade to a protocol that decision.upgrades does not list');
}

function names(options: readonly string[], option: string): boolean {
  return options.some((candidate) => asciiLowerCase(candidate) === option);
}
