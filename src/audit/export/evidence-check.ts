import { messageOf } from '../../pdp/errors.ts';
import { type DecisionRecord, isDecision, parseRecord } from '../read/decision-record.ts';
import { blobReferences, questionReferences } from '../read/references.ts';
import { payloadDigest } from '../record/blob.ts';
import {
  type EpochCertificate,
  type SealedCheckpoint,
  openEpochCertificate,
  openSealedCheckpoint,
} from '../tlog/epoch.ts';
import { leafHash } from '../tlog/hash.ts';
import { type VerifierKey, parseVerifierKey } from '../tlog/note-key.ts';
import { parseTlogProof, verifyTlogProof } from '../tlog/proof-file.ts';
import { snapshotDigest } from '../verify/blob-check.ts';
import { EvidenceFile, MAX_EVIDENCE_BYTES, type ProvenLine } from './evidence-file.ts';
import { sentencesOf } from './evidence-words.ts';

/** What an evidence file comes to. */
export interface EvidenceResult {
  readonly integrity: 'ok' | 'failed';
  /** Where the identity key is from: who checks has brought it, or it is the file's own, and then proves only that the file agrees with itself. */
  readonly identityKey: 'given' | 'file';
  readonly decisionId?: string;
  /** What is wrong, in words. */
  readonly problems: readonly string[];
  /** What is proven, in words; none where something is wrong. */
  readonly proves: readonly string[];
}

/** A line that was proven. */
export interface ProvenRecord {
  readonly record: DecisionRecord;
  readonly checkpoint: SealedCheckpoint;
  /** Digests of what was erased. */
  readonly erased: readonly string[];
}

/** Checks an evidence file alone, offline. Never throws for what is in the file. */
export function checkEvidence(text: string, given?: VerifierKey): EvidenceResult {
  const identityKey = given === undefined ? 'file' : 'given';
  try {
    const file = parseEvidence(text);
    const keys = keysOf(file, given);
    const decision = proven(file.decision, keys, 'decision');
    const reuses = file.reuses && proven(file.reuses, keys, 'reuses');
    assertOne(file, decision, reuses);
    const proves = sentencesOf(decision, reuses);
    return { integrity: 'ok', identityKey, decisionId: file.decision_id, problems: [], proves };
  } catch (error) {
    return { integrity: 'failed', identityKey, problems: [messageOf(error)], proves: [] };
  }
}

function parseEvidence(text: string): EvidenceFile {
  if (text.length > MAX_EVIDENCE_BYTES) throw new Error('the file is too long');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('the file is not JSON');
  }
  const parsed = EvidenceFile.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`not an evidence file: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
}

interface Keys {
  readonly log: string;
  readonly epochs: readonly EpochCertificate[];
}

function keysOf({ log, keys }: EvidenceFile, given: VerifierKey | undefined): Keys {
  const identity = given ?? parseVerifierKey(keys.identity);
  if (identity.name !== log)
    throw new Error(`the key is that of the log '${identity.name}', and the file is about '${log}'`);
  return { log, epochs: keys.epochs.map((note) => openEpochCertificate(note, identity)) };
}

function proven({ line, proof, blobs }: ProvenLine, { log, epochs }: Keys, what: string): ProvenRecord {
  const fail = (message: string) => new Error(`${what}: ${message}`);
  const record = parseRecord(line);
  if (record === undefined || !isDecision(record)) throw fail('the line is no decision');
  const parsed = parseTlogProof(proof);
  const checkpoint = openSealedCheckpoint(parsed.checkpoint, epochs, log);
  if (!verifyTlogProof(parsed, leafHash(Buffer.from(line)), checkpoint))
    throw fail('the line is not in the tree that was signed, at the place that the proof says');
  if (record.index !== parsed.index || record['log'] !== log)
    throw fail('the line says that it is another record than the proof does');
  return { record, checkpoint, erased: checkBlobs(record, blobs, fail) };
}

/** Everything that the line refers to must be there, and be what its digest says. What was erased is named. */
function checkBlobs(
  record: DecisionRecord,
  blobs: Readonly<Record<string, string>>,
  fail: (message: string) => Error,
): readonly string[] {
  const own = blobReferences(record);
  const nested = own.flatMap((digest) => questionReferences(Buffer.from(blobs[digest] ?? '')));
  const erased: string[] = [];
  for (const digest of new Set([...own, ...nested])) {
    const payload = blobs[digest];
    if (payload === undefined) throw fail(`what the line refers to is missing (${digest})`);
    if (isWhatItsDigestSays(digest, Buffer.from(payload))) continue;
    // Policies hold nobody's data and are never erased.
    if (digest.startsWith('sha256:') || parseRecord(payload)?.['kind'] !== 'erased')
      throw fail(`what the line refers to is not what its digest says (${digest})`);
    erased.push(digest);
  }
  return erased;
}

function isWhatItsDigestSays(digest: string, payload: Buffer): boolean {
  if (payloadDigest(payload) === digest) return true;
  return parseRecord(payload)?.['kind'] === 'policies' && snapshotDigest(payload) === digest;
}

function assertOne(file: EvidenceFile, { record }: ProvenRecord, reuses: ProvenRecord | undefined): void {
  if (record.decision_id !== file.decision_id) throw new Error('the line is about another decision');
  const of = reusedBy(record);
  if (of === undefined && reuses === undefined) return;
  if (of === undefined || reuses?.record.decision_id !== of)
    throw new Error('the decision that it reuses is not the one in the file');
  if (reusedBy(reuses.record) !== undefined)
    throw new Error('the decision that it reuses was reused itself, and not evaluated');
  if (reuses.record.index >= record.index || reuses.record['snapshot'] !== record['snapshot'])
    throw new Error('the decision that it reuses is younger, or was made by other policies');
}

/** The id of the decision that an answer from the cache reuses. */
export function reusedBy(record: DecisionRecord): string | undefined {
  const cache = record['cache'];
  if (typeof cache !== 'object' || cache === null || !('hit' in cache) || cache.hit !== true)
    return undefined;
  return 'of' in cache && typeof cache.of === 'string' ? cache.of : undefined;
}
