import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CommitPosition } from '../../../../src/audit/log/commit-position.ts';
import type { LogWriter } from '../../../../src/audit/log/log-writer.ts';
import { leaveNote } from '../../../../src/audit/log/inbox.ts';
import { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';
import {
  type LogSealer,
  type LogSealerOptions,
  createLogSealer,
} from '../../../../src/audit/seal/log-sealer.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { line, openWriter, tempDir } from '../log-fixture.ts';
import { checkpointOf, expectSealed, linesOf, settingsFor } from './seal-fixture.ts';

interface Running {
  readonly dir: string;
  readonly writer: LogWriter;
  readonly sealer: LogSealer;
  readonly said: string[];
}

/** A writer with the real sealing thread. */
async function run(
  { begins = true, ...options }: Partial<LogSealerOptions> & { readonly begins?: boolean } = {},
  dir = tempDir(),
  committed?: CommitPosition,
): Promise<Running> {
  const said: string[] = [];
  const say = (_: object, message: string) => void said.push(message);
  const writer = await openWriter(dir, { clock: MACHINE_CLOCK });
  const settings = settingsFor(dir, join(tempDir(), 'identity.pem'));
  prepareIdentity(settings);
  const sealer = createLogSealer({
    settings,
    clock: MACHINE_CLOCK,
    logger: { info: say, warn: say, error: say },
    restartMs: 10,
    ...options,
  });
  onTestFinished(() => sealer[Symbol.asyncDispose]());
  const appendControl = writer.appendControl.bind(writer);
  sealer.follow({ appendControl, committed: committed ?? writer.committed });
  if (begins) sealer.start();
  return { dir, writer, sealer, said };
}

async function append(writer: LogWriter, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, at) => writer.append(line(`d${at}`))));
}

describe('the thread that seals', () => {
  it('seals what is written within its pause, and says how far it is behind', async () => {
    const { dir, writer, sealer } = await run();
    await append(writer, 1000);
    await eventually('all is sealed', () => (sealer.lag().records === 0 && sealer.size > 1000) || undefined);
    expect(sealer.sealing).toBe(true);
    expect(sealer.warnings()).toEqual([]);
    expect(sealer.lag().ms).toBeLessThan(5000);
    expect(expectSealed(dir)).toBeGreaterThan(1000);
  });

  it('publishes checkpoints with new times while nothing happens', async () => {
    const { dir, sealer } = await run();
    await eventually('all is sealed', () => (sealer.sealing && sealer.lag().records === 0) || undefined);
    const before = checkpointOf(dir);
    const after = await eventually('a later checkpoint', () => {
      const now = checkpointOf(dir);
      return now.time > before.time && now.size === before.size ? now : undefined;
    });
    expect(after.root).toEqual(before.root);
  });

  it('seals the last records of the writer before it ends', async () => {
    const { dir, writer, sealer } = await run();
    await append(writer, 300);
    await writer[Symbol.asyncDispose]();
    await sealer[Symbol.asyncDispose]();
    const lines = linesOf(dir);
    expect(JSON.parse(lines.at(-1)?.toString() ?? '')).toMatchObject({ kind: 'shutdown' });
    expect(expectSealed(dir)).toBe(lines.length);
    expect(readFileSync(join(dir, 'checkpoints.log'), 'utf8')).toContain(
      readFileSync(join(dir, 'checkpoint'), 'utf8'),
    );
    expect(existsSync(join(dir, 'keys/writer.lock'))).toBe(false);
  });

  it('seals all the same where the end comes before its start', async () => {
    const { dir, writer, sealer } = await run({ begins: false });
    await append(writer, 300);
    await delay(50);
    expect(existsSync(join(dir, 'checkpoint'))).toBe(false);
    await writer[Symbol.asyncDispose]();
    await sealer[Symbol.asyncDispose]();
    expect(expectSealed(dir)).toBe(linesOf(dir).length);
  });

  it('has notes and rotations recorded by the writer', async () => {
    const { dir, sealer } = await run();
    leaveNote(dir, 'log_read', { verb: 'query' });
    const kinds = () => linesOf(dir).map((bytes) => JSON.parse(bytes.toString()).kind);
    await eventually('both are recorded', () =>
      kinds().includes('log_read') && kinds().includes('key_rotated') ? true : undefined,
    );
    expect(sealer.warnings()).toEqual([]);
  });

  it('is started again when it fails, and says so meanwhile', async () => {
    // Too small to be one: the thread ends as it begins.
    const committed = new CommitPosition();
    Object.defineProperty(committed, 'buffer', { value: new SharedArrayBuffer(1) });
    const { writer, sealer, said } = await run({}, tempDir(), committed);
    await eventually('it was started again', () => sealer.restarts > 1 || undefined);
    expect(sealer.sealing).toBe(false);
    expect(sealer.warnings()).toEqual([expect.stringMatching(/its thread failed/)]);
    expect(said).toContain('the thread that seals the decision log failed and is started again');
    await append(writer, 10);
  });

  it('says again and again that it does not sign, while decisions go on', async () => {
    const first = await run();
    await append(first.writer, 10);
    await first.writer[Symbol.asyncDispose]();
    await first.sealer[Symbol.asyncDispose]();
    const { dir } = first;
    const note = readFileSync(join(dir, 'checkpoint'), 'utf8');
    writeFileSync(join(dir, 'checkpoint'), note.replace('time 1', 'time 2'));
    const { writer, sealer, said } = await run({}, dir);
    await eventually('it says so', () => sealer.warnings().length > 0 || undefined);
    await append(writer, 10);
    expect(sealer.sealing).toBe(false);
    expect(said).toContain('the decision log is not sealed as it should be');
    await eventually('it is behind', () => sealer.lag().records > 10 || undefined);
    expect(readFileSync(join(dir, 'checkpoint'), 'utf8')).toBe(note.replace('time 1', 'time 2'));
  });

  it('waits for an earlier process that still seals', async () => {
    const dir = tempDir();
    const keys = join(dir, 'keys');
    mkdirSync(keys, { recursive: true });
    writeFileSync(join(keys, 'writer.lock'), JSON.stringify({ pid: process.ppid, start: '', id: 'x' }));
    const { sealer } = await run({}, dir);
    await delay(20);
    expect(sealer.sealing).toBe(false);
    rmSync(join(keys, 'writer.lock'));
    await eventually('it seals', () => sealer.sealing || undefined);
  });

  it('ends although nothing was ever started', async () => {
    const sealer = createLogSealer({
      settings: settingsFor(tempDir()),
      clock: MACHINE_CLOCK,
      logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    });
    await sealer[Symbol.asyncDispose]();
    expect(sealer.lag().records).toBe(0);
  });

  it('warns when no checkpoint was published for long', async () => {
    let passed = 0;
    const clock = { now: () => Date.now(), monotonic: () => performance.now() + passed };
    const { sealer } = await run({ clock });
    await eventually('it seals', () => sealer.sealing || undefined);
    passed = 60_000;
    expect(sealer.warnings()).toEqual([expect.stringMatching(/was last sealed \d+ s ago/)]);
  });
});
