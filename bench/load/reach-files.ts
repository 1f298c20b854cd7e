import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Figures } from './reach.ts';

const Reload = z.object({ commit: z.string(), figures: z.array(z.object({ ratio: z.number() })) });
const Audit = z.object({
  commit: z.string(),
  replays: z.array(
    z.object({
      records: z.number(),
      seconds: z.number(),
      jobs: z.number(),
      memo: z.boolean(),
      warm: z.boolean(),
    }),
  ),
});
const Overload = z.object({
  commit: z.string(),
  quick: z.boolean(),
  figures: z.array(z.object({ scenario: z.string(), ratio: z.number() })),
});
const Soak = z.object({ commit: z.string(), requests: z.number(), growth: z.number() });
const Peers = z.object({
  commit: z.string(),
  ratios: z.record(z.string(), z.record(z.string(), z.number())),
});

/** What the other benches wrote into `folder`; what is not there, or from an older form, is absent. */
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
    return of(audit?.commit, run && run.records / run.seconds / run.jobs);
  };
  return {
    reload: of(reload?.commit, reload?.figures[0]?.ratio),
    replay: replay(false, false),
    replayMemoised: replay(true, true),
    peers: (scenario, peer) => of(peers?.commit, peers?.ratios[scenario]?.[peer]),
    overload: overloaded('warm'),
    overloadHot: overloaded('hot'),
    memory: soak && { value: soak.growth, commit: soak.commit, requests: soak.requests },
  };
}

function of(commit: string | undefined, value: number | undefined) {
  return commit === undefined || value === undefined ? undefined : { commit, value };
}

function read<T>(path: string, form: z.ZodType<T>): T | undefined {
  try {
    return form.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
