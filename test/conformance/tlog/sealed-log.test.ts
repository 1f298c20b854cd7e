import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Committed } from '../../../src/audit/log/commit-position.ts';
import { tileFiles } from '../../../src/audit/read/tile-files.ts';
import { prepareIdentity } from '../../../src/audit/seal/log-identity.ts';
import { NODE_SEAL_FS } from '../../../src/audit/seal/seal-fs.ts';
import { Sealer } from '../../../src/audit/seal/sealer.ts';
import { consistencyProof } from '../../../src/audit/tlog/proofs.ts';
import { findGo } from '../../support/parts.ts';
import { buildVerifier, runVerifier } from './go-verifier.ts';

const ORIGIN = 'example.com/pdp/sealed';
const EPOCH_MS = 3_600_000;
const SEGMENT = `segment-${'0'.repeat(20)}.ndjson`;

/** A log with one segment that grows, and the sealer of the process over it. */
class GrowingLog {
  readonly dir = mkdtempSync(join(tmpdir(), 'pdp-sealed-'));
  now = Date.UTC(2026, 0, 2);
  #committed: Committed = { segment: -1, lineBytes: 0, packBytes: 0, nextIndex: 0 };

  constructor() {
    onTestFinished(() => rmSync(this.dir, { recursive: true, force: true, maxRetries: 20 }));
    prepareIdentity(this.#identity());
  }

  #identity() {
    return { dir: this.dir, origin: ORIGIN, identityFile: join(this.dir, 'identity.pem') };
  }

  append(count: number): void {
    const first = this.#committed.nextIndex;
    const lines = Array.from(
      { length: count },
      (_, at) => `{"v":1,"kind":"decision","log":"${ORIGIN}","index":${first + at},"decision":"DENY"}\n`,
    );
    appendFileSync(join(this.dir, SEGMENT), lines.join(''));
    const lineBytes = statSync(join(this.dir, SEGMENT)).size;
    this.#committed = { segment: 0, lineBytes, packBytes: 0, nextIndex: first + count };
  }

  /** One run of the process: opens the sealer, and does what is told between two checkpoints. */
  run(...steps: (() => void)[]): void {
    const sealer = new Sealer({
      ...this.#identity(),
      epochMs: EPOCH_MS,
      fs: NODE_SEAL_FS,
      clock: { now: () => this.now },
      committed: () => this.#committed,
    });
    for (const step of steps) {
      step();
      sealer.rotateIfDue();
      while (sealer.seal().more) this.now++;
      this.now += 1000;
    }
    sealer.keepLast();
    sealer.close();
  }
}

describe.skipIf(findGo() === undefined)('a log that the sealer of the process has sealed', () => {
  let program: string;

  beforeAll(() => {
    const built = buildVerifier();
    program = built.program;
    return built.remove;
  });

  test('is proven line by line by a verifier that is not ours, over restarts and epochs', () => {
    const log = new GrowingLog();
    log.run(
      () => log.append(1),
      () => log.append(254),
      () => log.append(700),
    );
    copyFileSync(join(log.dir, 'checkpoint'), join(log.dir, 'older'));
    log.now += 2 * EPOCH_MS;
    log.run(
      () => log.append(69_045),
      () => (log.now += EPOCH_MS),
    );
    const proof = consistencyProof(955, 70_000, tileFiles(log.dir)).map((hash) => hash.toString('base64'));
    writeFileSync(join(log.dir, 'proof'), proof.join('\n'));
    const identity = readFileSync(join(log.dir, 'keys/identity.vkey'), 'utf8').trim();
    const flags = ['-identity', identity, '-older', 'older', '-consistency', 'proof'];
    expect(runVerifier(program, log.dir, flags).says).toMatch(/^OK: 70000 lines, 0 proofs, [2-9] epochs\n$/);
  });
});
