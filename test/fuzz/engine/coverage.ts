import { type Profiler, Session } from 'node:inspector';

/** How much of the code of the covered modules has run. */
export interface CoverageFigure {
  readonly modules: number;
  /** Characters in functions that ran. */
  readonly covered: number;
  /** Characters in functions. */
  readonly total: number;
}

/** Says what inputs add to the code that has run. */
export interface Coverage {
  /** Whether code has run since the last look that no input has been noted for. Notes nothing: somebody among several ran it. */
  hasNew(): boolean;
  /** As {@link hasNew}, for one input, and notes it. That code ran in another order of magnitude of times is new too. */
  noteNew(): boolean;
  readonly figure: CoverageFigure;
}

interface Module {
  /** Where functions are: what runs when a module is loaded says nothing. */
  readonly inFunction: Uint8Array;
  readonly ran: Uint8Array;
  readonly counts: Set<number>;
}

/**
 * Follows V8's precise block coverage of the modules whose paths end in one of `covers`.
 */
export function followCoverage(covers: readonly string[]): Coverage {
  const session = startCoverage();
  const modules = new Map<string, Module>();
  const read = (look: (script: Profiler.ScriptCoverage, module: Module) => boolean): boolean => {
    let found = false;
    for (const script of take(session))
      if (covers.some((end) => script.url.endsWith(end)))
        found = look(script, moduleOf(modules, script)) || found;
    return found;
  };
  // What has run so far was nobody's input; and only the first report names all functions.
  read(() => false);
  return {
    hasNew: () =>
      read((script, { ran }) => runOf(script, ran.length).some((now, at) => now > (ran[at] ?? 0))),
    noteNew: () =>
      read((script, module) => {
        const ran = addRun(script, module);
        return addCounts(script, module) || ran;
      }),
    get figure() {
      return figureOf(modules);
    },
  };
}

let started: Session | undefined;

/**
 * Begins to measure, for the rest of this thread's life. To be called before the code of interest runs for the first time: V8 sees the
 * blocks only of functions that it compiles afterwards.
 */
export function startCoverage(): Session {
  if (started) return started;
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  return (started = session);
}

/** The session is one of this thread: its answer is there when `post` returns. */
function take(session: Session): readonly Profiler.ScriptCoverage[] {
  let scripts: readonly Profiler.ScriptCoverage[] = [];
  session.post('Profiler.takePreciseCoverage', (error, { result }) => {
    if (error) throw error;
    scripts = result;
  });
  return scripts;
}

function moduleOf(modules: Map<string, Module>, script: Profiler.ScriptCoverage): Module {
  const known = modules.get(script.url);
  if (known) return known;
  const length = Math.max(
    0,
    ...script.functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)),
  );
  const inFunction = new Uint8Array(length);
  for (const { functionName, ranges } of script.functions)
    for (const { startOffset, endOffset } of ranges)
      if (functionName !== '' || endOffset < length) inFunction.fill(1, startOffset, endOffset);
  const module = { inFunction, ran: new Uint8Array(length), counts: new Set<number>() };
  modules.set(script.url, module);
  return module;
}

/** Outer ranges come before the inner ones, which say the opposite of them: what is painted last holds. */
function runOf({ functions }: Profiler.ScriptCoverage, length: number): Uint8Array {
  const now = new Uint8Array(length);
  for (const { ranges } of functions)
    for (const { startOffset, endOffset, count } of ranges)
      now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  return now;
}

function addRun(script: Profiler.ScriptCoverage, { ran }: Module): boolean {
  let found = false;
  for (const [at, now] of runOf(script, ran.length).entries()) {
    if (now === 0 || ran[at] === 1) continue;
    ran[at] = 1;
    found = true;
  }
  return found;
}

function addCounts({ functions }: Profiler.ScriptCoverage, { counts }: Module): boolean {
  const before = counts.size;
  for (const { ranges } of functions)
    for (const { startOffset, count } of ranges)
      if (count > 0) counts.add(startOffset * 32 + Math.min(31, 32 - Math.clz32(count)));
  return counts.size > before;
}

function figureOf(modules: ReadonlyMap<string, Module>): CoverageFigure {
  let covered = 0;
  let total = 0;
  for (const { inFunction, ran } of modules.values())
    for (const [at, inside] of inFunction.entries()) {
      total += inside;
      covered += inside & (ran[at] ?? 0);
    }
  return { modules: modules.size, covered, total };
}
