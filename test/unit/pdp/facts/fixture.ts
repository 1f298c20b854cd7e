import type { AttributeAnswer, AttributeRecord, AttributeSubject } from '../../../../src/pdp/attribute.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';

/** When the checks of these tests arrive, Unix ms. */
export const START = Date.UTC(2026, 0, 1);

/** An answer about a subject that is known, observed now and fresh for a minute, unless said otherwise. */
export function answer(attributes: AttributeRecord, more: Partial<AttributeAnswer> = {}): AttributeAnswer {
  return { status: 'found', attributes, groups: [], observedAt: START, freshUntil: START + 60_000, ...more };
}

/** A source that answers so, having what the answer has to give. */
export function sourceWith(
  subject: AttributeSubject,
  says: AttributeAnswer,
  more: Partial<AttributeSource> = {},
): AttributeSource {
  const gives = [...Object.keys(says.attributes), ...(says.groups.length > 0 ? ['groups'] : [])];
  return { name: `${subject}-source`, subject, gives, onFailure: 'deny', lookup: () => says, ...more };
}

/** A source that fails, and what it said before that, if anything. */
export function failing(
  subject: AttributeSubject,
  gives: readonly string[],
  more: Partial<AttributeSource> & { readonly last?: AttributeAnswer } = {},
): AttributeSource {
  const { last, ...rest } = more;
  return {
    name: `${subject}-source`,
    subject,
    gives,
    onFailure: 'deny',
    lookup() {
      throw new Error('timed out');
    },
    ...(last && { lastKnown: () => last }),
    ...rest,
  };
}
