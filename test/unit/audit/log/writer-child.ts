import { openLogWriter } from '../../../../src/audit/log/log-writer.ts';
import { line } from '../log-fixture-lines.ts';

/** Writes decisions without end and says on stdout which are safe, until it is killed. */
async function main(dir: string, durability: 'written' | 'synced'): Promise<never> {
  const quiet = () => undefined;
  const writer = await openLogWriter({
    dir,
    durability,
    plaintext: [],
    log: 'example.com/pdp/test',
    clock: { now: Date.now, monotonic: () => performance.now() },
    logger: { info: quiet, warn: quiet, error: quiet },
    segmentBytes: 200_000,
  });
  for (let burst = 0; ; burst++) {
    const ids = Array.from({ length: 1 + (burst % 40) }, (_, i) => `${process.pid}-${burst}-${i}`);
    await Promise.all(ids.map((id) => writer.append(line(id))));
    process.stdout.write(`${ids.join('\n')}\n`);
  }
}

const [dir = '', durability = ''] = process.argv.slice(2);
await main(dir, durability === 'synced' ? 'synced' : 'written');
