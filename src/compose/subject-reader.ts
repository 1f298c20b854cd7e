import { DEMO_ISSUER } from '../config/rules.ts';
import type { Config } from '../config.ts';
import type { SubjectRef } from '../pdp/subject-key.ts';
import { readSubject } from '../pip/revocation/read-subject.ts';
import { parseSpiffeId } from '../pip/spiffe/spiffe-id.ts';
import { ISSUER_PRESETS, type PresetName } from '../pip/token/issuer-presets.ts';
import type { ClaimMapping } from '../pip/token/issuer.ts';

/** Reads a subject as people write it, or says what is wrong with it. */
export type SubjectReader = (value: unknown) => SubjectRef | { readonly problem: string };

/**
 * Makes the reader of subjects for a configuration. What no token of it could ever say is a problem, since it would revoke nobody, silently: an
 * issuer without users, or a tenant of one whose tenant claim is not known. Devices may also be those of an information point alone.
 */
export function createSubjectReader(config: Pick<Config, 'issuers' | 'demo'>): SubjectReader {
  const tenants = new Map(
    config.issuers
      .filter(({ use }) => use === 'user')
      .map(({ name, claims, preset }) => [name, claims.tenant ?? presetClaims(preset).tenant]),
  );
  if (config.demo) tenants.set(DEMO_ISSUER, undefined);
  return (value) => {
    const subject = readSubject(value, parseSpiffeId);
    if ('problem' in subject || subject.kind === 'workload' || subject.kind === 'device') return subject;
    const issuer = subject.id.slice(0, subject.id.indexOf('/'));
    if (!tenants.has(issuer)) {
      const known = [...tenants.keys()].join(', ') || 'none is';
      return { problem: `names the issuer '${issuer}', of which no users are configured (${known})` };
    }
    return subject.kind === 'tenant' && tenants.get(issuer) === undefined
      ? { problem: `is a tenant of '${issuer}', whose tokens name none: see claims.tenant of the issuer` }
      : subject;
  };
}

function presetClaims(preset: PresetName | undefined): ClaimMapping {
  return preset === undefined ? {} : ISSUER_PRESETS[preset].claims;
}
