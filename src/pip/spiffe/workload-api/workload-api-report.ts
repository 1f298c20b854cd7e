import type { Log } from '../../../pdp/log.ts';
import type { Clock } from '../../../pdp/ports.ts';
import type { SvidHealth } from '../../../pdp/x509-svid.ts';
import type { StreamEnd, WorkloadApiMessages } from './workload-api-client.ts';
import type { WorkloadApiState } from './workload-api-state.ts';

type Call = keyof WorkloadApiMessages;

/** What is told of the streams: in the log, and as the health of the source. */
export interface StreamReport {
  /** A message was taken, or why it was discarded. */
  message(call: Call, problem: string | undefined): void;
  ended(call: Call, end: StreamEnd): void;
  health(held: WorkloadApiState): SvidHealth;
}

interface Said {
  readonly call: Call;
  /** Monotonic ms. */
  readonly at: number;
}

const SAY_AGAIN_MS = 60_000;
/** Their words are the endpoint's: there may be no end of them. */
const MAX_SAID = 16;

/** Makes the report. All streams end with the endpoint, and again with each try: that is one line, and another every minute. */
export function createStreamReport(clock: Clock, log: Log): StreamReport {
  const said = new Map<string, Said>();
  let problem: string | undefined = 'the SPIFFE Workload API has not answered yet';
  let refused = 0;
  const isNews = (call: Call, words: string): boolean => {
    const at = clock.monotonic();
    const before = said.get(words);
    if (before && at - before.at < SAY_AGAIN_MS) return false;
    if (said.size >= MAX_SAID) said.clear();
    said.set(words, { call, at });
    return true;
  };
  return {
    message(call, discarded) {
      for (const [words, about] of said) if (about.call === call) said.delete(words);
      if (discarded !== undefined)
        log.error({ call, problem: discarded }, 'SPIFFE Workload API message discarded');
      if (call !== 'FetchX509SVID') return;
      problem = discarded;
      if (discarded !== undefined) refused += 1;
    },
    ended(call, end) {
      if (call === 'FetchX509SVID') problem = `the SPIFFE Workload API ${words(end)}: ${end.problem}`;
      const fields = { call, problem: end.problem };
      if (end.kind === 'final')
        log.error(fields, 'SPIFFE Workload API refuses the call; it is not tried again');
      else if (isNews(call, end.problem))
        log.warn(fields, 'SPIFFE Workload API stream ended; it is opened again');
    },
    health(held) {
      const missing = held.state.svid
        ? undefined
        : 'the SPIFFE Workload API sent none that is ours and valid';
      const why = problem ?? missing;
      return { refused, bundles: held.bundleHealth(), ...(why !== undefined && { problem: why }) };
    },
  };
}

function words({ kind }: StreamEnd): string {
  if (kind === 'denied') return 'gives us none';
  return kind === 'final' ? 'refuses the call for good' : 'cannot be asked';
}
