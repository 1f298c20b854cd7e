import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Figures, OtherFigure } from './reach.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const Reload = z.object({ commit: z.string(), figures: z.array(z.object({ ratio: z.number() })) });
const Audit = z.object({
  commit: z.string(),
  replays: z.array(
    z.object({
      records: z.number(),
      cedar: z.number(),
      seconds: z.number(),
      jobs: z.number(),
      memo: z.boolean(),
      warm: z.boolean(),
    }),
  ),
});
const Overload = z.object({
  commit: z.string(),
  quick: z.literal(false),
  figures: z.array(z.object({ scenario: z.string(), ratio: z.number() })),
});
const Soak = z.object({ commit: z.string(), requests: z.number(), growth: z.number() });
const Peers = z.object({
  commit: z.string(),
  ratios: z.record(z.string(), z.record(z.string(), z.number())),
});

/** What is measured: all else may change without a figure becoming another. */
const SERVED = ['src', 'bin/pdp', 'scripts/build.mjs', 'package-lock.json'];

/** Whether other code is served now than at `commit`, or nobody can say, for it is not one. */
function servesOther(commit: string): boolean {
  return spawnSync('git', ['diff', '--quiet', commit, '--', ...SERVED], { cwd: ROOT }).status !== 0;
}

/** What the other benches wrote into `folder`; what is not there, from an older form or from a quick run is absent. */
export function otherFigures(folder: string): Omit<Figures, 'scenarios' | 'startMs'> {
  const reload = read(join(folder, 'reload.json'), Reload);
  const audit = read(join(folder, 'audit.json'), Audit);
  const soak = read(join(folder, 'soak.json'), Soak);
  const peers = read(join(folder, 'peers.json'), Peers);
  const overload = read(join(folder, 'overload.json'), Overload);
  const overloaded = (name: string) =>
    of(overload?.commit, overload?.figures.find(({ scenario }) => scenario === name)?.ratio);
  const replay = (memo: boolean, warm: boolean) => {
    const run = audit?.replays.find((each) => each.memo === memo && each.warm === warm);
    // Without memory most records still are answers that were reused, and these are not evaluated.
    return of(audit?.commit, run && (memo ? run.records : run.cedar) / run.seconds / run.jobs);
  };
  return {
    reload: of(reload?.commit, reload?.figures[0]?.ratio),
    reloadOneCore: of(reload?.commit, reload?.figures[1]?.ratio),
    replay: replay(false, false),
    replayMemoised: replay(true, true),
    peers: (scenario, peer) => of(peers?.commit, peers?.ratios[scenario]?.[peer]),
    overload: overloaded('warm'),
    overloadHot: overloaded('hot'),
    memory: soak && figureOf(soak.commit, soak.growth, { requests: soak.requests }),
  };
}

function of(commit: string | undefined, value: number | undefined): OtherFigure | undefined {
  return commit === undefined || value === undefined ? undefined : figureOf(commit, value, {});
}

function figureOf<T>(commit: string, value: number, more: T): OtherFigure & T {
  return { commit, value, ...(servesOther(commit) && { older: true }), ...more };
}

function read<T>(path: string, form: z.ZodType<T>): T | undefined {
  try {
    return form.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
