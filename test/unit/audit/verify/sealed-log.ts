import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compressFile } from '../../../../src/audit/seal/compress-file.ts';
import { NODE_SEAL_FS } from '../../../../src/audit/seal/seal-fs.ts';
import { Sealer } from '../../../../src/audit/seal/sealer.ts';
import type { LogWriter } from '../../../../src/audit/log/log-writer.ts';
import { generateSigningKey, signingKeyPem } from '../../../../src/audit/tlog/note-key.ts';
import { line, openWriter, tempDir } from '../log-fixture.ts';

const ORIGIN = 'example.com/pdp/test';
const HOUR_MS = 3_600_000;

/** The clock of the logs in these tests. */
export const NOW = Date.UTC(2026, 0, 2);

/** A new identity key in a file. */
export function identityFile(): string {
  const file = join(tempDir(), 'identity.pem');
  writeFileSync(file, signingKeyPem(generateSigningKey(ORIGIN)));
  chmodSync(file, 0o600);
  return file;
}

/** The real sealer of a log. */
export function sealerOf(
  dir: string,
  writer: Pick<LogWriter, 'committed'>,
  key: string,
  now = () => NOW,
): Sealer {
  return new Sealer({
    dir,
    origin: ORIGIN,
    identityFile: key,
    epochMs: 24 * HOUR_MS,
    fs: NODE_SEAL_FS,
    clock: { now },
    committed: () => writer.committed.read(),
  });
}

/** Seals what the writer has written, and keeps the checkpoint. */
export function seal(dir: string, writer: Pick<LogWriter, 'committed'>, key: string, now = NOW): void {
  const sealer = sealerOf(dir, writer, key, () => now);
  sealer.rotateIfDue();
  while (sealer.seal().more);
  sealer.keepLast();
  sealer.close();
}

/** What is special about a sealed log. */
export interface SealedLogOptions {
  readonly decisions: number;
  readonly segmentBytes?: number;
  /** Seals after every so many decisions, and at the end. */
  readonly sealEvery?: number;
  readonly compress?: boolean;
}

/** A log that was written, sealed and closed in good order. */
export async function sealedLog(options: SealedLogOptions): Promise<{ dir: string; key: string }> {
  const { decisions, segmentBytes = 1_000_000, sealEvery = decisions + 1, compress = false } = options;
  const [dir, key] = [tempDir(), identityFile()];
  const writer = await openWriter(dir, { segmentBytes });
  for (let i = 0; i < decisions; i++) {
    await writer.append(line(`d-${i}`));
    if (i % sealEvery === sealEvery - 1) seal(dir, writer, key);
  }
  await writer[Symbol.asyncDispose]();
  seal(dir, writer, key);
  if (compress) compressClosed(dir);
  return { dir, key };
}

/** Compresses all segments but the last, and their packs. */
export function compressClosed(dir: string): void {
  const last = segmentNames(dir).at(-1) ?? '';
  for (const name of readdirSync(dir))
    if (/\.(?:ndjson|blobs)$/.test(name) && name < last.slice(0, 28))
      for (const _ of compressFile(join(dir, name), NODE_SEAL_FS));
}

/** Names of the segments, oldest first. */
export function segmentNames(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => /^segment-.*\.ndjson(?:\.gz)?$/.test(name))
    .sort();
}
