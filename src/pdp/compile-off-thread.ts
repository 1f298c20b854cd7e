import { Worker } from 'node:worker_threads';
import type { AnalysedPolicies } from './analyse-policies.ts';
import { type CompiledSnapshot, assembleSnapshot } from './compile-snapshot.ts';
import { InputError, type Problem } from './errors.ts';
import type { PolicyEntry } from './policy-snapshot.ts';
import type { PolicyTexts } from './policy-source.ts';

/** What the compiling thread reports: entries in portions, so that taking them never holds up the serving thread. */
export type CompileMessage =
  | { readonly kind: 'entries'; readonly entries: readonly PolicyEntry[] }
  | { readonly kind: 'done'; readonly rest: Omit<AnalysedPolicies, 'entries'> }
  | { readonly kind: 'refused'; readonly title: string; readonly problems: readonly Problem[] };

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
  const entries: PolicyEntry[] = [];
  try {
    const rest = await new Promise<Omit<AnalysedPolicies, 'entries'>>((resolve, reject) => {
      worker.on('message', (message: CompileMessage) => {
        if (message.kind === 'entries') entries.push(...message.entries);
        else if (message.kind === 'done') resolve(message.rest);
        else reject(new InputError(message.title, message.problems));
      });
      worker.on('error', reject);
      worker.on('exit', (code) => reject(new Error(`the compiling thread ended early (${code})`)));
    });
    return { snapshot: assembleSnapshot({ ...rest, entries }, now), warnings: rest.warnings };
  } finally {
    await worker.terminate();
  }
}
