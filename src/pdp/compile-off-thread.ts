import { Worker } from 'node:worker_threads';
import type { AnalysedPolicies } from './analyse-policies.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CedarEngine } from './cedar.ts';
import { type CompiledSnapshot, PolicyEntries, assembleSnapshot } from './compile-snapshot.ts';
import { InputError, type Problem } from './errors.ts';
import type { PolicyEntry } from './policy-snapshot.ts';
import type { PolicyTexts, SourceText } from './policy-source.ts';
import { viewsOf } from './view/action-views.ts';

/** What the compiling thread reports: entries in portions, so that taking them never holds up the serving thread. */
export type CompileMessage =
  | { readonly kind: 'entries'; readonly entries: readonly SentEntry[] }
  | { readonly kind: 'done'; readonly rest: Omit<AnalysedPolicies, 'entries'> }
  | { readonly kind: 'refused'; readonly title: string; readonly problems: readonly Problem[] };

/** A policy without its text, which the receiver has: `length` units of it from `offset` on. */
export interface SentEntry extends Omit<PolicyEntry, 'text' | 'file'> {
  /** Index of the file among those given. */
  readonly source: number;
  readonly length: number;
}

/** The same file as built or as source, whichever runs. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './compile-worker.ts' : './compile-worker.js',
  import.meta.url,
);

/**
 * Does what `compileSnapshot` does with the work in a thread of its own, whose engine is thrown away with it: neither the time a set
 * takes nor a trap it causes reaches what is being served. Rejects with `InputError` as `compileSnapshot` throws it.
 */
export async function compileOffThread(texts: PolicyTexts, now: number): Promise<CompiledSnapshot> {
  const worker = new Worker(WORKER, { workerData: texts, resourceLimits: { stackSizeMb: 8 } });
  const entries = new PolicyEntries();
  try {
    const rest = await new Promise<Omit<AnalysedPolicies, 'entries'>>((resolve, reject) => {
      worker.on('message', (message: CompileMessage) => {
        if (message.kind === 'done') return resolve(message.rest);
        if (message.kind === 'refused') return reject(new InputError(message.title, message.problems));
        for (const entry of message.entries) entries.add(received(entry, texts.policies));
        return void setImmediate(() => worker.postMessage('more'));
      });
      worker.on('error', reject);
      worker.on('exit', (code) => reject(new Error(`the compiling thread ended early (${code})`)));
    });
    // The longest single step, some milliseconds: in a turn of its own.
    await nextTurn();
    const engine = CedarEngine.load({ schema: rest.schema, policies: {} });
    const views = viewsOf(rest);
    for (const view of views.early()) {
      await nextTurn();
      engine.prepare(view);
    }
    await nextTurn();
    return {
      snapshot: assembleSnapshot(rest, { entries, engine, views, texts }, now),
      warnings: rest.warnings,
    };
  } finally {
    await worker.terminate();
  }
}

/** The text is a slice of the file's: no copy of it crosses threads. */
function received({ source, length, ...entry }: SentEntry, files: readonly SourceText[]): PolicyEntry {
  const { file, text } = files[source] ?? { file: '', text: '' };
  return { ...entry, file, text: text.slice(entry.offset, entry.offset + length) };
}
