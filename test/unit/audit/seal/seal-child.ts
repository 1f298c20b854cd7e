import { openLogWriter } from '../../../../src/audit/log/log-writer.ts';
import { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';
import { NODE_SEAL_FS, type SealFs } from '../../../../src/audit/seal/seal-fs.ts';
import { SealLoop } from '../../../../src/audit/seal/seal-loop.ts';
import { line } from '../log-fixture-lines.ts';

/** Where a process ends: before that step of a round. */
export type Stage = 'tiles' | 'checkpoint' | 'checkpoint-rename' | 'epoch' | 'none';

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  throw new Error('unreachable');
}

/** The real file system, with the end of the process before one of its steps, the `after`-th time. */
function deadlyFs(stage: Stage, after: number): SealFs {
  let left = after;
  const step = (isIt: boolean) => {
    if (isIt && left-- === 0) die();
  };
  return {
    ...NODE_SEAL_FS,
    create(path, bytes, mode) {
      step(stage === 'tiles' && path.includes('/tile/'));
      step(stage === 'checkpoint' && path.includes('/checkpoint.draft'));
      NODE_SEAL_FS.create(path, bytes, mode);
    },
    rename(from, to) {
      step(stage === 'checkpoint-rename' && to.endsWith('/checkpoint'));
      step(stage === 'epoch' && to.endsWith('.note'));
      NODE_SEAL_FS.rename(from, to);
    },
  };
}

/** Writes and seals without end, until it is killed by itself. */
async function main(dir: string, identityFile: string, stage: Stage, after: number): Promise<void> {
  const quiet = () => undefined;
  const clock = { now: Date.now, monotonic: () => performance.now() };
  const writer = await openLogWriter({
    dir,
    clock,
    durability: 'written',
    plaintext: [],
    log: 'example.com/pdp/test',
    logger: { info: quiet, warn: quiet, error: quiet },
    segmentBytes: 64 * 1024,
  });
  const settings = {
    dir,
    identityFile,
    origin: 'example.com/pdp/test',
    // Longer than the test, or over after some rounds.
    epochMs: stage === 'epoch' ? 40 : 3_600_000,
    checkpointMs: 100,
    compress: false,
    retention: {},
    sinks: [],
  };
  prepareIdentity(settings);
  const loop = new SealLoop({
    settings,
    clock,
    fs: deadlyFs(stage, after),
    committed: () => writer.committed.read(),
    announce: (kind, fields) => writer.appendControl(kind, fields),
  });
  for (let burst = 0; burst < 200; burst++) {
    const ids = Array.from({ length: 1 + ((burst * 37) % 300) }, (_, i) => `${burst}-${i}`);
    await Promise.all(ids.map((id) => writer.append(line(id))));
    loop.round();
    process.stdout.write(`${JSON.stringify(loop.status())}\n`);
  }
}

const [dir = '', identityFile = '', stage = 'none', after = '0'] = process.argv.slice(2);
await main(dir, identityFile, stage as Stage, Number(after));
