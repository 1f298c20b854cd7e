import { z } from 'zod';
import { AuditPrivacy } from './audit-privacy.ts';
import { SelfReplay } from './audit-replay.ts';
import { Sinks, sinksDrainMs } from './audit-sinks.ts';
import { file, ms } from './parts.ts';

const Retention = z.strictObject({
  days: z
    .int()
    .min(1)
    .optional()
    .meta({ description: 'Closed segments whose newest record is older are removed. Absent: never.' }),
  max_bytes: z
    .int()
    .min(1024 * 1024)
    .optional()
    .meta({
      description: 'The oldest closed segments are removed while the log is larger. Absent: no bound.',
    }),
});

const Keys = z.strictObject({
  identity_file: file(
    'Long-lived Ed25519 key (PEM) that vouches for the keys that sign; made where it is not there. Absent: `<audit.dir>-identity.pem`. Keep it, and a copy of what `pdp audit key` prints, apart from the log.',
  ).optional(),
  epoch_hours: z
    .int()
    .min(1)
    .max(24 * 366)
    .default(24)
    .meta({ description: 'Life of a key that signs checkpoints; its private half is erased afterwards.' }),
});

/** The decision log. */
export const Audit = z.strictObject({
  dir: file('Folder of the decision log.').default('.pdp/audit'),
  log: z
    .string()
    .regex(/^[^\s+\p{C}]{1,200}$/u, 'must be a name without spaces and plus signs (C2SP signed-note)')
    .default('cedar-pdp/local')
    .meta({
      description:
        'Name of the log (its origin, in every record and signature). Replicas each need one of their own.',
    }),
  durability: z
    .enum(['async', 'written', 'synced'])
    .default('written')
    .meta({ description: 'What an answer waits for: nothing, the write, or the write and fdatasync.' }),
  on_failure: z
    .enum(['deny', 'allow'])
    .default('deny')
    .meta({ description: 'What an answer becomes when its record cannot be written.' }),
  segment_bytes: z
    .int()
    .min(64 * 1024)
    .default(256 * 1024 * 1024)
    .meta({ description: 'Size at which a new segment begins, what its records refer to included.' }),
  segment_max_age_s: z
    .int()
    .min(1)
    .default(3600)
    .meta({ description: 'Age at which a new segment begins, in s.' }),
  compress: z.boolean().default(true).meta({ description: 'Compress closed segments (gzip).' }),
  retention: Retention.prefault({}),
  checkpoint_ms: ms(1000, 'Pause between signed checkpoints, also when nothing happens.', 100),
  heartbeat_s: z.int().min(1).default(60).meta({
    description: 'Pause between `heartbeat` records, in s: a log that is silent for longer lost them.',
  }),
  keys: Keys.prefault({}),
  self_replay: SelfReplay.prefault({}),
  sinks: Sinks,
  sinks_drain_ms: sinksDrainMs,
  privacy: AuditPrivacy.optional().meta({
    description: 'Pseudonyms in place of names in the log. Absent: names are in clear.',
  }),
});
