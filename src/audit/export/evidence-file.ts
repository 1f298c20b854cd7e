import { z } from 'zod';

/** What the first member of an evidence file says. */
export const EVIDENCE_FORMAT = 'cedar-pdp evidence v1';

/** Far more than one decision needs. */
export const MAX_EVIDENCE_BYTES = 64 * 1024 * 1024;

const text = z.string().max(MAX_EVIDENCE_BYTES);

const Proven = z.strictObject({
  /** The exact line of the log, without its line feed. */
  line: text,
  /** C2SP tlog-proof: where the line is in the tree that was signed. */
  proof: text,
  /** What the line refers to: payloads by digest, byte for byte. */
  blobs: z.record(z.string(), text),
});

/** A file that proves one decision without the log that it is from (docs/audit-log.md, "Export"). */
export const EvidenceFile = z.strictObject({
  format: z.literal(EVIDENCE_FORMAT),
  /** Name of the log. */
  log: z.string(),
  decision_id: z.string(),
  /** How to check it. */
  how_to_check: text,
  /** The decision. */
  decision: Proven,
  /** The decision that it reuses, where it came from the cache: the inputs are there. */
  reuses: Proven.optional(),
  keys: z.strictObject({
    /** Verifier key of the log's long-lived key (C2SP vkey). Compare it with the one that you got elsewhere. */
    identity: z.string(),
    /** Certificates of the keys that signed the checkpoint: notes signed by the identity key. */
    epochs: z.array(text).max(1000),
  }),
});

/** The content of an evidence file. */
export type EvidenceFile = z.infer<typeof EvidenceFile>;

/** A line of a log with what proves it and what it refers to. */
export type ProvenLine = z.infer<typeof Proven>;

/** For people who got the file and not the software. */
export const HOW_TO_CHECK = [
  'Check this file, offline: pdp audit verify --evidence FILE --vkey KEY. KEY is the verifier key of the log, as you got it from its owner;',
  'without it the key in this file is used, which proves only that the file agrees with itself. By hand, with any tool for C2SP formats:',
  '(1) each note in keys.epochs is signed by the identity key (c2sp.org/signed-note) and names an epoch key and from when to when it may sign;',
  '(2) the note at the end of each proof is a checkpoint (c2sp.org/tlog-checkpoint), signed by an epoch key in that time;',
  '(3) the proof (c2sp.org/tlog-proof) shows that SHA-256(0x00 || line) is the leaf at its index in the tree of that checkpoint;',
  '(4) each blob is what the line refers to: its key is base64url(SHA-256(payload)); that of policies (sha256:…) is `pdp policy digest` of what is in it.',
].join(' ');
