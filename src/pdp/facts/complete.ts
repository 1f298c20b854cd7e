import type { AttributeFact } from '../attribute.ts';
import type { Information } from '../trace.ts';

/**
 * Whether the facts are all that the sources were to give, and none of them past its freshness. Otherwise the next question may find
 * more, so that the answer to this one is not to be kept. What is too old does not count: it stays so until its source is asked again.
 */
export function isComplete({ facts, omissions }: Pick<Information, 'facts' | 'omissions'>): boolean {
  return omissions.length === 0 && facts.every(isWhole);
}

function isWhole({ stale, leftOut }: AttributeFact): boolean {
  return !stale && (!leftOut || Object.values(leftOut).every((why) => why === 'too_old'));
}
