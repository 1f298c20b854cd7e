import { messageOf } from '../../../pdp/errors.ts';
import { pauseMs } from '../../../pdp/retry-pause.ts';
import type { WorkloadApiClient, WorkloadApiMessages } from './workload-api-client.ts';
import type { StreamReport } from './workload-api-report.ts';

/** The pause before a stream is opened again: from `firstMs`, doubled with each failure, up to `mostMs`. */
export interface RetryPause {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** What is done with what one stream brings. */
export interface StreamTaker<M> {
  /** Takes a message as the full state; says why it is discarded whole, in words that continue "the message …". */
  take(message: M): string | undefined;
  /** We are entitled to nothing of this stream: what it brought before is not to be used any more. */
  withdraw(): void;
}

/** A stream that is kept open. */
export interface FollowedStream extends Disposable {
  /** Resolves with the first message or failure, or when the stream is closed by us. */
  readonly firstOutcome: Promise<void>;
}

/** Where a stream is kept open. */
export interface StreamSetting {
  readonly client: WorkloadApiClient;
  readonly retry: RetryPause;
  readonly report: StreamReport;
}

/**
 * Opens a stream of the Workload API, and again whenever it ends (Workload API §4.2), with a pause that grows while no message comes.
 * A call that the endpoint calls wrong (InvalidArgument) or does not have is not made again (Workload Endpoint §6).
 */
export function followStream<C extends keyof WorkloadApiMessages>(
  call: C,
  taker: StreamTaker<WorkloadApiMessages[C]>,
  setting: StreamSetting,
): FollowedStream {
  const { report, retry } = setting;
  const first = Promise.withResolvers<void>();
  let failures = 0;
  let close: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  let disposed = false;
  const take = (message: WorkloadApiMessages[C]): void => {
    failures = 0;
    const problem = taken(taker, message);
    report.message(call, problem === undefined ? undefined : `the message ${problem}`);
    first.resolve();
  };
  const again = (): void => {
    // Whoever was told of the end may have disposed of us.
    if (disposed) return;
    failures += 1;
    timer = setTimeout(open, pauseMs(retry.firstMs, retry.mostMs, failures)).unref();
  };
  const open = (): void => {
    close = setting.client.open(call, {
      message: take,
      ended: (end) => {
        if (end.kind !== 'retry') taker.withdraw();
        report.ended(call, end);
        if (end.kind !== 'final') again();
        first.resolve();
      },
    });
  };
  open();
  const dispose = (): void => {
    disposed = true;
    clearTimeout(timer);
    close?.();
    first.resolve();
  };
  return { firstOutcome: first.promise, [Symbol.dispose]: dispose };
}

/** A message that makes the reader throw is a message that is discarded. */
function taken<M>(taker: StreamTaker<M>, message: M): string | undefined {
  try {
    return taker.take(message);
  } catch (error) {
    return `cannot be read (${messageOf(error)})`;
  }
}
