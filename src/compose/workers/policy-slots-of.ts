import { isRecord } from '../../pdp/external-json.ts';

/** How the policies in force are changed. */
export type Change = 'promote' | 'rollback';

/** Digests in the slots of a worker. All else that it says of them is its own, such as when they were loaded. */
export interface Slots {
  readonly slots: readonly {
    readonly name: string;
    readonly enforced: boolean;
    readonly digest: string | null;
  }[];
  /** What a rollback would put in force. */
  readonly back: string | undefined;
}

/** Reads what a worker says of its policies. */
export function slotsIn(policies: object): Slots {
  const { rollback_to: back, slots } = policies as Readonly<Record<string, unknown>>;
  const named = isRecord(slots) ? Object.entries(slots) : [];
  return {
    slots: named.flatMap(([name, slot]) =>
      isRecord(slot)
        ? { name, enforced: slot['enforced'] === true, digest: textOf(slot['digest']) ?? null }
        : [],
    ),
    back: textOf(back),
  };
}

/** Digest in force; absent where nothing is. */
export function inForce({ slots }: Slots): string | undefined {
  return slots.find(({ enforced }) => enforced)?.digest ?? undefined;
}

/** What a change without a digest means, so that it means the same to each worker, whatever it loads meanwhile. */
export function digestFor(change: Change, { slots, back }: Slots): string | undefined {
  if (change === 'rollback') return back;
  return slots.find(({ enforced }) => !enforced)?.digest ?? undefined;
}

/**
 * Tells slots that are alike from those that are not. Only a way back that is to be taken has to be the same: a worker in which a change was undone
 * may have lost it.
 */
export function slotsText({ slots, back }: Slots, change: Change): string {
  return JSON.stringify(change === 'rollback' ? { slots, back } : { slots });
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
