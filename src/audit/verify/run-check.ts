import type { LogRecord } from '../read/decision-record.ts';
import type { Findings, Place } from './findings.ts';
import { shown } from './record-check.ts';

/** How many times its interval a heartbeat may be late before it counts as missing. */
const LATE = 3;

/** What the records say of the runs of the process: how they began and ended, what they lost, whether their heart was beating. */
export class RunCheck {
  readonly #findings: Findings;
  #last: unknown;
  /** Records that the log says were lost. */
  lost = 0;
  #lostInRun = 0;
  #beat: { readonly uptime: number; readonly interval: number | undefined } | undefined;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Whether the last record says that its run ended in good order. */
  get closed(): boolean {
    return this.#last === 'shutdown';
  }

  /** Looks at a record of any kind, in the order of the log. */
  record(record: LogRecord, place: Place): void {
    const { kind } = record;
    this.#follows(kind, place);
    this.#last = kind;
    if (kind === 'gap') this.#gap(record, place);
    if (kind === 'boot') this.#boot(record, place);
    if (kind === 'heartbeat') this.#heartbeat(record, place);
    if (kind === 'policy_activated') this.#activation(record, place);
    if (kind === 'recovered')
      this.#note(
        `${shown(record['bytes_dropped'])} bytes of an unfinished record were cut off after a crash`,
        place,
      );
  }

  /** Nothing but the beginning of another run comes after a run has ended. */
  #follows(kind: unknown, place: Place): void {
    const begins = kind === 'boot' || kind === 'recovered' || kind === 'gap';
    if (this.closed && !begins)
      this.#findings.add(
        'integrity',
        'failed',
        'a record after the log was closed, and before it was opened again',
        place,
      );
  }

  #gap({ count, reason }: LogRecord, place: Place): void {
    const lost = Number.isSafeInteger(count) ? Number(count) : 0;
    this.lost += lost;
    this.#lostInRun += lost;
    const message = `${shown(count)} records were lost: ${typeof reason === 'string' ? reason : shown(reason)}`;
    this.#findings.add('completeness', 'failed', message, place);
  }

  #boot({ previous_run: previous, heartbeat_s: interval }: LogRecord, place: Place): void {
    this.#lostInRun = 0;
    this.#beat = { uptime: 0, interval: typeof interval === 'number' && interval > 0 ? interval : undefined };
    if (previous === 'unclean') this.#note('the run before this one ended without a shutdown record', place);
  }

  /** By the time that the process was running, as it counts it itself: a machine that was asleep has no heartbeat. */
  #heartbeat({ uptime_s: uptime, lost }: LogRecord, place: Place): void {
    const fail = (message: string) => this.#findings.add('completeness', 'failed', message, place);
    if (typeof lost === 'number' && lost > this.#lostInRun)
      fail(`${lost} records were lost in this run, and gap records admit ${this.#lostInRun}`);
    if (typeof uptime !== 'number') {
      fail('the heartbeat does not say how long the run has lasted');
      return;
    }
    const { uptime: before, interval } = this.#beat ?? { uptime, interval: undefined };
    const pause = uptime - before;
    if (interval !== undefined && pause > LATE * interval + 1)
      fail(`no heartbeat for ${pause} s, where there is one every ${interval} s`);
    this.#beat = { uptime, interval: interval ?? (pause > 0 ? pause : undefined) };
  }

  /** What was in force when is what a replay goes by. */
  #activation({ digest, slot, by }: LogRecord, place: Place): void {
    const named = [digest, slot, by].every((value) => typeof value === 'string' && value !== '');
    if (!named)
      this.#findings.add(
        'completeness',
        'failed',
        'the activation does not say of what, in which slot and how',
        place,
      );
  }

  #note(message: string, place: Place): void {
    this.#findings.add('completeness', 'note', message, place);
  }
}
