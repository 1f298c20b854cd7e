import { openHttpPip, openScimPip } from './http-sources.ts';
import { openStaticPip } from './sources.ts';
import { openThreatPip } from './threats.ts';
import type { Config } from '../config.ts';
import { InputError, type Problem } from '../pdp/errors.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';

type Pip = Config['pips'][number];

const SILENT: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * What is wrong with the files without which the information points would not open: facts, lists and credentials, but for those of Redis. Nothing
 * is fetched. Never rejects for what people wrote.
 */
export async function pipProblems(pips: readonly Pip[], clock: Clock): Promise<readonly Problem[]> {
  const found = await Promise.all(
    pips.map(async (pip, index) => {
      try {
        await (await openLocally(pip, clock))?.[Symbol.asyncDispose]();
        return [];
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return error.problems.map((problem) => told(problem, `pips[${index}]`));
      }
    }),
  );
  return found.flat();
}

async function openLocally(pip: Pip, clock: Clock): Promise<AsyncDisposable | undefined> {
  switch (pip.kind) {
    case 'static_file':
      return await openStaticPip(pip, { clock, log: SILENT });
    case 'http':
      return await openHttpPip(pip, SILENT);
    case 'scim':
      return await openScimPip(pip, SILENT);
    case 'threat_intel': {
      const lists = pip.lists.filter((list) => 'file' in list);
      return lists.length === 0 ? undefined : await openThreatPip({ ...pip, lists }, { clock, log: SILENT });
    }
    case 'redis':
      return undefined;
  }
}

function told({ where: file, line, message }: Problem, where: string): Problem {
  return { where, message: `${file}${line === undefined ? '' : `:${line}`}: ${message}` };
}
