import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FoundRecord, recordsIn } from '../query/scan.ts';
import { isDecision } from '../read/decision-record.ts';
import { type Pack, loadPack } from '../read/pack.ts';
import { blobReferences, questionReferences } from '../read/references.ts';
import { rangeAround, segmentsWithin } from '../read/segments-within.ts';
import { tileFiles } from '../read/tile-files.ts';
import { verifierKeyText, type VerifierKey } from '../tlog/note-key.ts';
import { formatTlogProof } from '../tlog/proof-file.ts';
import { inclusionProof } from '../tlog/proofs.ts';
import { segmentSource } from '../read/segment-source.ts';
import { NO_CHECKPOINT, NO_KEY } from '../verify/record-proof.ts';
import { type LogTrust, type SealedHead, logTrust, sealedHead } from '../verify/trust.ts';
import { checkEvidence, reusedBy } from './evidence-check.ts';
import { EVIDENCE_FORMAT, type EvidenceFile, HOW_TO_CHECK, type ProvenLine } from './evidence-file.ts';

/** There is no such decision, or nothing proves it (yet); the message says why. */
export class NotProvable extends Error {
  override readonly name = 'NotProvable';
}

interface Source {
  readonly dir: string;
  readonly trust: LogTrust;
  readonly head: SealedHead;
}

/**
 * Makes the evidence file of a decision: all that proves it, offline and without the log. It is checked before it is given. `given`: the identity key,
 * where whoever asks has brought it. Throws {@link NotProvable}, and `InputError` where there is no log.
 */
export async function buildEvidence(dir: string, id: string, given?: VerifierKey): Promise<string> {
  const trust = logTrust(dir, given);
  const head = trust && sealedHead(dir, trust);
  if (!trust || !head) throw new NotProvable(trust ? NO_CHECKPOINT : NO_KEY);
  const source = { dir, trust, head };
  const found = await findDecision(dir, id);
  const of = isDecision(found.record) ? reusedBy(found.record) : undefined;
  const reuses = of === undefined ? undefined : await findDecision(dir, of, found);
  const evidence: EvidenceFile = {
    format: EVIDENCE_FORMAT,
    log: trust.identity.name,
    decision_id: id,
    how_to_check: HOW_TO_CHECK,
    decision: await provenLine(found, source),
    ...(reuses && { reuses: await provenLine(reuses, source) }),
    keys: { identity: verifierKeyText(trust.identity), epochs: epochsOf(source) },
  };
  const text = `${JSON.stringify(evidence, undefined, 2)}\n`;
  const { problems } = checkEvidence(text, given);
  if (problems.length > 0) throw new NotProvable(problems.join('; '));
  return text;
}

/** The line of a decision. `after`: one that reuses it, and so is younger. */
async function findDecision(dir: string, id: string, after?: FoundRecord): Promise<FoundRecord> {
  const segments = await segmentsWithin(dir, rangeAround(id));
  const until = after?.segment.firstIndex ?? Number.POSITIVE_INFINITY;
  const needle = Buffer.from(`"decision_id":${JSON.stringify(id)}`);
  for (const segment of segments.filter(({ firstIndex }) => firstIndex <= until).toReversed()) {
    for await (const found of recordsIn(segment, {}, needle))
      if (found.record['decision_id'] === id && found.record['kind'] === 'decision') return found;
  }
  throw new NotProvable(
    after
      ? `the decision ${id}, which it reuses, is not in the log (any more)`
      : `the log has no decision ${id}`,
  );
}

async function provenLine({ line, record, segment }: FoundRecord, source: Source): Promise<ProvenLine> {
  const { checkpoint, note } = source.head;
  const index = Number(record['index']);
  if (index >= checkpoint.size)
    throw new NotProvable(`the record ${index} is younger than the newest checkpoint: try again in a moment`);
  const hashes = inclusionProof(index, checkpoint.size, tileFiles(source.dir));
  const wanted = new Set(blobReferences(record));
  const { pack } = segmentSource(segment);
  const own = await loadPack(pack, wanted);
  const nested = new Set([...wanted].flatMap((digest) => questionReferences(own.get(digest) ?? NOTHING)));
  const further = nested.size === 0 ? own : await loadPack(pack, nested);
  return {
    line: line.toString(),
    proof: formatTlogProof({ index, hashes, checkpoint: note }),
    blobs: { ...textsOf(wanted, own), ...textsOf(nested, further) },
  };
}

const NOTHING = Buffer.alloc(0);

/** What is missing is left out: the check of the whole then says so. */
function textsOf(digests: ReadonlySet<string>, pack: Pack): Record<string, string> {
  const found = [...digests].map((digest) => [digest, pack.get(digest)?.toString()] as const);
  return Object.fromEntries(found.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** The certificates of the keys that signed the checkpoint. */
function epochsOf({ dir, head }: Source): string[] {
  return head.checkpoint.epochs.map(({ number }) =>
    readFileSync(join(dir, 'keys', `epoch-${number}.note`), 'utf8'),
  );
}
