import { hash } from 'node:crypto';
import type { CedarEntity, CedarRequest } from '../../pdp/evaluation.ts';
import type { PolicyTexts } from '../../pdp/policy-source.ts';

/**
 * What a blob may hold: an entity, a context or a whole question as the engine got it, the texts of a policy set, or what was kept out of a line
 * for privacy.
 */
export type BlobKind = 'entity' | 'context' | 'question' | 'policies' | 'withheld';

/** Something that records refer to by digest, stored once beside the lines that need it. */
export interface Blob {
  /**
   * Of policies: the digest of the snapshot (`sha256:<hex>`), which is over what the texts mean. Of everything else: SHA-256 of the payload's
   * UTF-8 bytes, base64url without padding.
   */
  readonly digest: string;
  /** JSON text of a `{kind, value}` object; asked for only where the blob is not stored yet. */
  payload(): string;
}

/** A question that is not in the line. */
export interface Question extends Pick<CedarRequest, 'principal' | 'action' | 'resource' | 'context'> {
  /** Digests of its entities, where they are too many for the line. */
  readonly entities?: readonly string[];
}

/** What makes a blob erasable: nobody guesses its digest, and it says whose data it holds. */
export interface BlobPrivacy {
  /** At least 128 random bits, base64url. */
  readonly salt: string;
  /** Pseudonyms. */
  readonly subjects: readonly string[];
}

/** Static entities are the same objects in every question. */
const KNOWN = new WeakMap<CedarEntity, Blob>();

/** An entity as the engine got it. */
export function entityBlob(entity: CedarEntity): Blob {
  let blob = KNOWN.get(entity);
  if (blob === undefined) {
    blob = jsonBlob('entity', JSON.stringify(entity));
    KNOWN.set(entity, blob);
  }
  return blob;
}

/** The context of a question, given as its JSON text. */
export function contextBlob(json: string): Blob {
  return jsonBlob('context', json);
}

/** A value, given as its JSON text. */
export function jsonBlob(kind: BlobKind, json: string, privacy?: BlobPrivacy): Blob {
  const guard = privacy ? `"salt":"${privacy.salt}","subjects":${JSON.stringify(privacy.subjects)},` : '';
  const payload = `{"kind":"${kind}",${guard}"value":${json}}`;
  return { digest: payloadDigest(payload), payload: () => payload };
}

/** The texts of a snapshot, so that it can be built again. */
export function policiesBlob(digest: string, texts: PolicyTexts): Blob {
  return { digest, payload: () => JSON.stringify({ kind: 'policies' satisfies BlobKind, value: texts }) };
}

/** Digest of a payload, as lines refer to it. */
export function payloadDigest(payload: string | Buffer): string {
  return hash('sha256', payload, 'base64url');
}
