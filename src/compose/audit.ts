import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SYSTEM_CLOCK } from './core.ts';
import { openIn } from './audit-folder.ts';
import { createSealer } from './audit-seal.ts';
import { startSelfReplay } from './audit-self-replay.ts';
import { controlPrivacyOf, openPseudonyms, recordPrivacyOf } from './audit-privacy.ts';
import { createSinks } from './audit-sinks.ts';
import { plaintextSurfaces } from './surfaces.ts';
import type { Config } from '../config.ts';
import { httpStatusOf } from '../api/status.ts';
import { startHeartbeat } from '../audit/log/heartbeat.ts';
import { type LogWriter, openLogWriter } from '../audit/log/log-writer.ts';
import { readNotes, writeNotes } from '../audit/log/notes-file.ts';
import type { LogSealer } from '../audit/seal/log-sealer.ts';
import type { Pseudonyms } from '../audit/privacy/pseudonyms.ts';
import type { SelfReplay } from '../audit/replay/self-replay.ts';
import type { SinkThread } from '../audit/sinks/sink-thread.ts';
import { createRecorder } from '../audit/record/recorder.ts';
import { engineName } from '../pdp/cedar-module.ts';
import type { Log } from '../pdp/log.ts';
import type { Recorder } from '../pdp/ports.ts';

/** The decision log of a serving process. */
export interface AuditLog {
  readonly writer: LogWriter;
  readonly recorder: Recorder;
  readonly sinks: SinkThread;
  readonly sealer: LogSealer;
  /** Absent: it is turned off. */
  readonly selfReplay: SelfReplay | undefined;
}

/** Opens the decision log, says in it with which configuration this run begins, and lets its heart beat. What seals it is not started yet. */
export async function openAuditLog(config: Config, log: Log, stack: AsyncDisposableStack): Promise<AuditLog> {
  return await openIn(config.audit.dir, () => openLog(config, log, stack));
}

async function openLog(config: Config, log: Log, stack: AsyncDisposableStack): Promise<AuditLog> {
  const { dir, log: origin, durability } = config.audit;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const pseudonyms = openPseudonyms(config.audit);
  // Disposed of after the writer: what it writes last is still sealed and delivered.
  const sealer = stack.use(createSealer(config, log));
  const sinks = stack.use(createSinks(config, log));
  const writer = stack.use(
    await openLogWriter({
      dir,
      log: origin,
      durability,
      segmentBytes: config.audit.segment_bytes,
      segmentMs: config.audit.segment_max_age_s * 1000,
      plaintext: plaintextSurfaces(config),
      about: {
        config: configDigest(config),
        engine: engineName(),
        heartbeat_s: config.audit.heartbeat_s,
      },
      privacy: controlPrivacyOf(pseudonyms),
      clock: SYSTEM_CLOCK,
      logger: log,
    }),
  );
  sealer.follow(writer);
  sinks.start(writer.committed);
  await recordConfigChange(config, writer);
  stack.use(startHeartbeat(writer, config.audit.heartbeat_s * 1000, log));
  const selfReplay = startSelfReplay(config, writer, log);
  if (selfReplay) stack.use(selfReplay);
  return { writer, recorder: recorderOf(config, writer, pseudonyms), sinks, sealer, selfReplay };
}

/** SHA-256 over the whole effective configuration, defaults and environment included. It holds no secrets, only paths to them. */
export function configDigest(config: Config): string {
  return `sha256:${createHash('sha256').update(JSON.stringify(config)).digest('hex')}`;
}

/** Said once, by the first run that has another configuration than the one before it. */
async function recordConfigChange(config: Config, writer: LogWriter): Promise<void> {
  const path = join(config.audit.dir, 'state.json');
  const digest = configDigest(config);
  const before = readNotes(path)['config'];
  if (before === digest) return;
  if (before !== undefined) await writer.appendControl('config_changed', { config: digest, before });
  writeNotes(path, { config: digest });
}

function recorderOf(config: Config, writer: LogWriter, pseudonyms: Pseudonyms | undefined): Recorder {
  const { cluster, region } = config.telemetry;
  return createRecorder({
    writer,
    onFailure: config.audit.on_failure,
    httpStatus: httpStatusOf,
    cluster: cluster === '' ? undefined : cluster,
    region: region === '' ? undefined : region,
    privacy: recordPrivacyOf(pseudonyms, writer),
    engine: engineName(),
    acceptsTokens: config.demo || config.issuers.some(({ use }) => use === 'user'),
  });
}
