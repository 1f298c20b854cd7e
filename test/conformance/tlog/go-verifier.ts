import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findGo } from '../../support/parts.ts';

const GO_MODULE = fileURLToPath(new URL('.', import.meta.url));

/** What the verifier that is not ours says about a log. */
export interface Verdict {
  /** 0: all is proven. 1: something is not. 2: wrong usage. */
  readonly status: number | null;
  readonly says: string;
}

/** Builds the Go program of this folder: to be called where `findGo()` finds one. Whoever calls it removes it. */
export function buildVerifier(): { program: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'pdp-tlogcheck-'));
  const program = join(folder, 'tlogcheck');
  const built = spawnSync(findGo() ?? '', ['-C', GO_MODULE, 'build', '-o', program, '.'], {
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`the verifier does not build: ${built.stderr}`);
  return { program, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }) };
}

/** Runs the verifier over a log; paths in `flags` are relative to the log's folder. */
export function runVerifier(program: string, dir: string, flags: readonly string[]): Verdict {
  const result = spawnSync(program, [...flags, '.'], { cwd: dir, encoding: 'utf8' });
  return { status: result.status, says: `${result.stdout}${result.stderr}` };
}
