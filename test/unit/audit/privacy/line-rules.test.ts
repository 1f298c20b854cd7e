import { expect, test } from 'vitest';
import { clearOf } from '../../../../src/audit/privacy/line-rules.ts';
import { FIELDS } from '../record/record-fields.ts';
import { allowedTrace } from '../trace-fixture.ts';
import { pseudonymsOf } from './privacy-fixture.ts';

/** Members of a record that hold nobody's name; a new one has to be thought about before it stands here. */
const CLEAR =
  'decision_id timestamp decision enforced shadow_of explained batch asserted reason message cause policies policy_errors stage surface ' +
  'source_identity origin_identity destination_identity mtls method host action binding question entities pip accepts_tokens snapshot ' +
  'engine cache http_status trace_id span_id cluster region latency_us truncated';

test('a member of a record goes into a line as it is only where it is known to name nobody', () => {
  const members = Object.fromEntries([...FIELDS.split(' '), 'new_member'].map((name) => [name, 'marked']));
  const { clear, withheld } = clearOf(members, { trace: allowedTrace(), pseudonyms: pseudonymsOf() });
  const asItWas = Object.keys(clear).filter((name) => clear[name] === 'marked');
  expect(asItWas.sort()).toEqual(
    CLEAR.split(' ')
      .filter((name) => name in members)
      .sort(),
  );
  expect(withheld).toMatchObject({
    new_member: 'marked',
    path: 'marked',
    detail: 'marked',
    context: 'marked',
  });
});
