import type { Log } from '../../../pdp/log.ts';
import type { Clock } from '../../../pdp/ports.ts';
import type { X509Svid } from '../../../pdp/x509-svid.ts';
import { type Note, readJwtBundles, readX509Bundles } from './workload-api-bundles.ts';
import type { WorkloadApiMessages } from './workload-api-client.ts';
import type { WorkloadApiState } from './workload-api-state.ts';
import type { StreamTaker } from './workload-api-stream.ts';
import { readSvids } from './workload-api-svids.ts';

/** What is done with the messages of each stream. */
export type StreamTakers = {
  readonly [C in keyof WorkloadApiMessages]: StreamTaker<WorkloadApiMessages[C]>;
};

/** Settings of {@link createTakers}. */
export interface TakerOptions {
  readonly hint?: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is logged of messages. Nothing in them is, but names and times. */
interface Notes {
  readonly note: Note;
  readonly crl: (lists: number) => void;
  readonly received: (svid: X509Svid) => void;
}

/** Makes what reads the messages of the streams into `held`. Each is the full state: what is absent is dropped (Workload API §4.4). */
export function createTakers(held: WorkloadApiState, options: TakerOptions): StreamTakers {
  const notes = createNotes(options.log);
  return {
    FetchX509SVID: takeSvids(held, options, notes),
    FetchX509Bundles: takeX509Bundles(held, notes),
    FetchJWTBundles: takeJwtBundles(held, notes),
  };
}

function takeSvids(
  held: WorkloadApiState,
  options: TakerOptions,
  notes: Notes,
): StreamTakers['FetchX509SVID'] {
  return {
    take(message) {
      const reading = readSvids(message, { hint: options.hint, now: options.clock.now(), note: notes.note });
      if ('problem' in reading) return reading.problem;
      notes.crl(message.crl.length);
      held.see('svids', reading);
      if (reading.svid) notes.received(reading.svid);
      return undefined;
    },
    withdraw() {
      const { svid } = held.state;
      if (svid)
        options.log.error({ spiffe_id: svid.identity.id }, 'our SVID was withdrawn; it is not used any more');
      held.see('svids', undefined);
    },
  };
}

function takeX509Bundles(held: WorkloadApiState, { note, crl }: Notes): StreamTakers['FetchX509Bundles'] {
  return {
    take(message) {
      if (Object.keys(message.bundles).length === 0) return "has no 'bundles'";
      crl(message.crl.length);
      held.see('x509Bundles', { authorities: readX509Bundles(message.bundles, note) });
      return undefined;
    },
    withdraw: () => held.see('x509Bundles', undefined),
  };
}

function takeJwtBundles(held: WorkloadApiState, { note }: Notes): StreamTakers['FetchJWTBundles'] {
  return {
    take(message) {
      if (Object.keys(message.bundles).length === 0) return "has no 'bundles'";
      held.see('jwtBundles', { authorities: readJwtBundles(message.bundles, note) });
      return undefined;
    },
    withdraw: () => held.see('jwtBundles', undefined),
  };
}

function createNotes(log: Log): Notes {
  let saidCrl = false;
  return {
    note: (problem) =>
      log.warn({ problem: `the message ${problem}` }, 'part of a SPIFFE Workload API message is not used'),
    crl(lists) {
      if (lists === 0 || saidCrl) return;
      saidCrl = true;
      log.warn(
        { lists },
        'revocation lists of the SPIFFE Workload API are ignored: SVIDs are short-lived instead',
      );
    },
    received: ({ identity, notAfter }) =>
      log.info(
        { spiffe_id: identity.id, not_after: new Date(notAfter).toISOString() },
        'SVID received from the SPIFFE Workload API',
      ),
  };
}
