import { expect, test } from 'vitest';
import { parseTraceparent } from '../../../src/api/trace-context.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

test.each([
  `00-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-00`,
  `cc-${TRACE}-${SPAN}-01-what-the-future-brings`,
])('reads %s', (value) => {
  expect(parseTraceparent(value)).toEqual({ traceId: TRACE, spanId: SPAN });
});

test.each([
  undefined,
  '',
  'x',
  `ff-${TRACE}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE.slice(1)}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01-extra`,
  `00-${TRACE}-${SPAN}-01x`,
  ` 00-${TRACE}-${SPAN}-01`,
])('ignores %j', (value) => {
  expect(parseTraceparent(value)).toBeUndefined();
});
