import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { DiagLogLevel, diag } from '@opentelemetry/api';
import type { Log } from '../../pdp/log.ts';
import { CommitPosition } from '../log/commit-position.ts';
import { createSink } from './create-sink.ts';
import { CursorFile } from './cursor-file.ts';
import { faultText } from './fault-text.ts';
import { LogTail } from './log-tail.ts';
import { SinkFigures } from './sink-figures.ts';
import { SinkRunner } from './sink-runner.ts';
import type { SinkWorkerData, SinkWorkerMessage } from './sink-thread.ts';

const port = parentPort;
if (!port) throw new Error('sink-worker.ts runs as a worker only');
const send = (message: SinkWorkerMessage): void => port.postMessage(message);
// On Linux this is about the calling thread alone: what is being served goes first.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

const logger: Log = {
  info: (fields, message) => send({ level: 'info', fields, message }),
  warn: (fields, message) => send({ level: 'warn', fields, message }),
  error: (fields, message) => send({ level: 'error', fields, message }),
};
const ignore = (): void => undefined;
const warn = (message: string, ...more: unknown[]): void =>
  logger.warn({ problem: faultText([message, ...more].join(' ')) }, 'OpenTelemetry warns');
// How the exporter tells that a collector took only some of the records.
diag.setLogger({ error: warn, warn, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN);

const data = workerData as SinkWorkerData;
const position = new CommitPosition(data.position);
const committed = () => position.read();
const figures = new SinkFigures(
  data.sinks.map(({ name }) => name),
  data.figures,
);
const runners = data.sinks.map(
  (rules) =>
    new SinkRunner({
      log: data.log,
      rules,
      sink: createSink(data.log, rules),
      tail: new LogTail(data.dir, committed),
      cursor: new CursorFile(data.dir, rules.name),
      committed,
      figure: figures.of(rules.name),
      logger,
    }),
);
port.on('message', ({ drainMs }: { readonly drainMs: number }) => {
  for (const runner of runners) runner.drain(drainMs);
});
await Promise.all(runners.map((runner) => runner.run()));
send('done');
