import { hash } from 'node:crypto';
import type { CedarRequest } from './evaluation.ts';

/**
 * The key under which an evaluation is cached: SHA-256 over the snapshot digest and everything that is sent to the engine, which
 * is everything that the snapshot's policies can read and nothing else.
 *
 * JSON of an array is injective: strings are quoted and escaped, so no delimiter can be forged (the class of CVE-2026-48096).
 */
export function decisionKey(snapshotDigest: string, request: CedarRequest): string {
  const { principal, action, resource, context, entities } = request;
  return hash(
    'sha256',
    JSON.stringify([snapshotDigest, principal, action, resource, context, entities]),
    'base64url',
  );
}

/**
 * The key where less than the question is known to be enough: SHA-256 over the snapshot digest and what the snapshot's policies can tell of the
 * question (`PolicySnapshot.likeness`). It cannot be equal to a `decisionKey`, whose second element is no string.
 */
export function likenessKey(snapshotDigest: string, likeness: readonly unknown[]): string {
  return hash('sha256', JSON.stringify([snapshotDigest, ...likeness]), 'base64url');
}
