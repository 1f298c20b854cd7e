import { describe } from 'vitest';
import { findEnvoy } from '../support/parts.ts';
import { FLAW_CLASSES, type Surface } from './flaw-classes.ts';

/**
 * Groups the tests of one flaw class through one surface. `docs/security-tests.md` is made from these calls as they stand in the files, so
 * number and surface are written out at each. Throws for a class that is not in {@link FLAW_CLASSES}; skips where there is no Envoy.
 */
export function flawClass(number: number, surface: Surface, define: () => void): void {
  const known = FLAW_CLASSES.find((candidate) => candidate.number === number);
  if (known === undefined) throw new TypeError(`there is no flaw class ${number}`);
  const title = `flaw class ${number} through ${surface}: ${known.title} (${known.advisories.join(', ')})`;
  describe.skipIf(surface === 'Envoy' && findEnvoy() === undefined)(title, define);
}
