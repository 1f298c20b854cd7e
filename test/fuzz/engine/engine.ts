import { type Coverage, type CoverageFigure, followCoverage } from './coverage.ts';
import { minimise } from './minimise.ts';
import { mutate } from './mutate.ts';
import { type Random, createRandom } from './random.ts';
import type { FuzzTarget } from './target.ts';

/** How long to search, and where. The first bound that is reached ends it. */
export interface FuzzOptions {
  readonly seed: number;
  /** Most executions; without end where not given. */
  readonly runs?: number;
  /** Longest time, in ms; without end where not given. */
  readonly milliseconds?: number;
  /** Inputs to begin with, beside the seeds of the target. */
  readonly corpus?: readonly Uint8Array[];
  /** Whether inputs that take far longer than others are findings; yes where not given. */
  readonly findSlow?: boolean;
  /** Told each input before it is put in. */
  readonly onInput?: (input: Uint8Array) => void;
  /** Told about every second. */
  readonly onProgress?: (progress: Progress) => void;
}

/** Where a search stands. */
export interface Progress {
  readonly executions: number;
  readonly corpus: number;
  readonly findings: number;
  readonly coverage: CoverageFigure;
}

/** An input that breaks the promise of its target, as small as it could be made. */
export interface Finding {
  readonly target: string;
  readonly problem: string;
  readonly input: Uint8Array;
}

/** What a search came to. */
export interface FuzzResult extends Omit<Progress, 'corpus' | 'findings'> {
  readonly target: string;
  readonly milliseconds: number;
  /** All inputs that brought something new. */
  readonly corpus: readonly Uint8Array[];
  readonly findings: readonly Finding[];
  /** How often what became of inputs. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Of one execution, in µs. */
  readonly medianUs: number;
}

/** Inputs between two looks at the coverage, which cost as much as many runs. */
const BATCH = 16;
const MAX_FINDINGS = 10;
const SLOW_FACTOR = 50;
const SLOW_FLOOR_MS = 25;
const MAX_OUTCOMES = 200;

/** Searches for an input that breaks the promise of a target, guided by which of its code runs. Ends early after ten findings. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const coverage = followCoverage(target.covers);
  const search = new Search(target, options, coverage);
  await search.measure([...target.seeds, ...(options.corpus ?? [])]);
  while (!search.isOver()) await search.step();
  return search.result();
}

class Search {
  readonly #target: FuzzTarget;
  readonly #options: FuzzOptions;
  readonly #coverage: Coverage;
  readonly #random: Random;
  readonly #dictionary: readonly Uint8Array[];
  readonly #corpus: Uint8Array[] = [];
  readonly #findings = new Map<string, Finding>();
  readonly #outcomes = new Map<string, number>();
  readonly #times: number[] = [];
  readonly #startedAt = performance.now();
  #executions = 0;
  #toldAt = 0;

  constructor(target: FuzzTarget, options: FuzzOptions, coverage: Coverage) {
    this.#target = target;
    this.#options = options;
    this.#coverage = coverage;
    this.#random = createRandom(options.seed);
    this.#dictionary = target.dictionary.map((word) => Buffer.from(word));
  }

  isOver(): boolean {
    const { runs = Infinity, milliseconds = Infinity } = this.#options;
    const passed = performance.now() - this.#startedAt;
    return this.#executions >= runs || passed >= milliseconds || this.#findings.size >= MAX_FINDINGS;
  }

  /** A batch of new inputs; where they ran new code, each is looked at by itself. */
  async step(): Promise<void> {
    const inputs = Array.from({ length: BATCH }, () => this.#next());
    const [first = Buffer.of(), ...rest] = inputs;
    await this.measure([first]);
    for (const input of rest) if (await this.#run(input)) this.#corpus.push(input);
    if (this.#coverage.hasNew()) await this.#attribute(rest);
    this.#tell();
  }

  /** Puts each input in and keeps those that bring something new. */
  async measure(inputs: readonly Uint8Array[]): Promise<void> {
    for (const input of inputs) {
      const isNew = await this.#run(input);
      if (this.#coverage.noteNew() || isNew || this.#corpus.length === 0) this.#corpus.push(input);
    }
  }

  result(): FuzzResult {
    return {
      target: this.#target.name,
      executions: this.#executions,
      milliseconds: performance.now() - this.#startedAt,
      coverage: this.#coverage.figure,
      corpus: this.#corpus,
      findings: [...this.#findings.values()],
      outcomes: Object.fromEntries([...this.#outcomes].sort(([, a], [, b]) => b - a)),
      medianUs: this.#median() * 1000,
    };
  }

  /** Finds out who of a batch ran the new code. */
  async #attribute(inputs: readonly Uint8Array[]): Promise<void> {
    for (const input of inputs) {
      await this.#run(input);
      if (this.#coverage.noteNew() && !this.#corpus.includes(input)) this.#corpus.push(input);
    }
  }

  #next(): Uint8Array {
    const parent = this.#parent();
    const own = this.#target.mutate;
    if (own && this.#random.below(2) === 0)
      return own(parent, this.#random).subarray(0, this.#target.maxBytes);
    return mutate(parent, {
      random: this.#random,
      dictionary: this.#dictionary,
      other: () => this.#random.pick(this.#corpus),
      maxBytes: this.#target.maxBytes,
    });
  }

  /** Every other time one of the newest, which have been tried least. */
  #parent(): Uint8Array {
    const { length } = this.#corpus;
    const newest = Math.max(1, Math.ceil(length / 8));
    const at =
      this.#random.below(2) === 0 ? length - 1 - this.#random.below(newest) : this.#random.below(length);
    return this.#corpus[at] ?? Buffer.of();
  }

  /** One execution; `true` where what became of the input is new. */
  async #run(input: Uint8Array): Promise<boolean> {
    this.#options.onInput?.(input);
    this.#executions += 1;
    const startedAt = performance.now();
    const tried = await attempt(this.#target, input);
    const took = performance.now() - startedAt;
    if (this.#times.length < 2000) this.#times.push(took);
    if ('problem' in tried) await this.#keep(input, tried.problem);
    else if (this.#isSlow(took) && (await this.#staysSlow(input))) await this.#keepSlow(input, took);
    return 'outcome' in tried && this.#count(tried.outcome);
  }

  #count(outcome: string): boolean {
    const known = this.#outcomes.get(outcome);
    if (known === undefined && this.#outcomes.size >= MAX_OUTCOMES) return false;
    this.#outcomes.set(outcome, (known ?? 0) + 1);
    return known === undefined;
  }

  async #keep(input: Uint8Array, problem: string): Promise<void> {
    const kind = kindOf(problem);
    if (this.#findings.has(kind)) return;
    const small = await minimise(input, async (smaller) => {
      const tried = await attempt(this.#target, smaller);
      return 'problem' in tried && kindOf(tried.problem) === kind;
    });
    const tried = await attempt(this.#target, small);
    this.#findings.set(kind, {
      target: this.#target.name,
      problem: 'problem' in tried ? tried.problem : problem,
      input: small,
    });
  }

  /** The machine, not the input, is slow at times: five more tries must all be. */
  async #staysSlow(input: Uint8Array): Promise<boolean> {
    for (let tries = 0; tries < 5; tries += 1) {
      const startedAt = performance.now();
      await attempt(this.#target, input);
      if (!this.#isSlow(performance.now() - startedAt)) return false;
    }
    return true;
  }

  #isSlow(took: number): boolean {
    if (this.#options.findSlow === false || took < SLOW_FLOOR_MS || this.#findings.has('slow')) return false;
    return took > SLOW_FACTOR * this.#median();
  }

  async #keepSlow(input: Uint8Array, took: number): Promise<void> {
    const problem = `takes ${took.toFixed(0)} ms where the median is ${this.#median().toFixed(3)} ms`;
    const small = await minimise(input, (smaller) => this.#staysSlow(smaller), 100);
    this.#findings.set('slow', { target: this.#target.name, problem, input: small });
  }

  #median(): number {
    const sorted = this.#times.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  }

  #tell(): void {
    const now = performance.now();
    if (now - this.#toldAt < 1000) return;
    this.#toldAt = now;
    this.#options.onProgress?.({
      executions: this.#executions,
      corpus: this.#corpus.length,
      findings: this.#findings.size,
      coverage: this.#coverage.figure,
    });
  }
}

/** What one input came to. */
export type Attempt = { readonly outcome: string } | { readonly problem: string };

/** Puts in one input; nothing is thrown. */
export async function attempt(target: FuzzTarget, input: Uint8Array): Promise<Attempt> {
  try {
    const outcome = target.run(input);
    return { outcome: typeof outcome === 'string' ? outcome : await outcome };
  } catch (error) {
    return { problem: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
}

/** Problems that differ in values only are of one kind. */
function kindOf(problem: string): string {
  return problem.replace(/'[^']*'|"[^"]*"|\d+/g, '…').slice(0, 120);
}
