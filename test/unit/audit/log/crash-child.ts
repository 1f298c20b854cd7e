import { type LogFs, NODE_LOG_FS } from '../../../../src/audit/log/log-fs.ts';
import { openLogWriter } from '../../../../src/audit/log/log-writer.ts';
import { contextBlob } from '../../../../src/audit/record/blob.ts';
import { line } from '../log-fixture-lines.ts';

/** Kills this process at the nth call of an operation: before it, after it, or (of a write) when half of the bytes are in the file. */
function fatal(operation: string, nth: number, moment: string): LogFs {
  let calls = 0;
  const die = (): void => void process.kill(process.pid, 'SIGKILL');
  const wrap =
    <Args extends unknown[], Result>(name: string, run: (...args: Args) => Result) =>
    (...args: Args): Result => {
      const now = name === operation && ++calls === nth;
      if (now && moment === 'before') die();
      const result = run(...args);
      if (now) die();
      return result;
    };
  return {
    ...NODE_LOG_FS,
    write: (fd, bytes, offset) => {
      if (operation !== 'write' || ++calls !== nth) return NODE_LOG_FS.write(fd, bytes, offset);
      if (moment === 'before') die();
      const end = moment === 'half' ? offset + Math.ceil((bytes.length - offset) / 2) : bytes.length;
      NODE_LOG_FS.write(fd, bytes.subarray(0, end), offset);
      die();
      return 0;
    },
    openAppend: wrap('openAppend', (path) => NODE_LOG_FS.openAppend(path)),
    sync: wrap('sync', (fd, done) => NODE_LOG_FS.sync(fd, done)),
    close: wrap('close', (fd) => NODE_LOG_FS.close(fd)),
    stat: wrap('stat', (fd) => NODE_LOG_FS.stat(fd)),
  };
}

async function main(dir: string, operation: string, nth: number, moment: string): Promise<never> {
  const quiet = () => undefined;
  const writer = await openLogWriter({
    dir,
    durability: operation === 'sync' ? 'synced' : 'written',
    plaintext: [],
    log: 'example.com/pdp/test',
    clock: { now: Date.now, monotonic: () => performance.now() },
    logger: { info: quiet, warn: quiet, error: quiet },
    segmentBytes: 4000,
    fs: fatal(operation, nth, moment),
  });
  for (let burst = 0; ; burst++) {
    const ids = Array.from({ length: 1 + (burst % 7) }, (_, i) => `${process.pid}-${burst}-${i}`);
    await Promise.all(ids.map((id) => writer.append(line(id), [contextBlob(JSON.stringify({ id }))])));
    process.stdout.write(`${ids.join('\n')}\n`);
  }
}

const [dir = '', operation = '', nth = '', moment = ''] = process.argv.slice(2);
await main(dir, operation, Number(nth), moment);
