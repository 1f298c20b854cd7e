import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { faultText } from '../../../../src/audit/sinks/fault-text.ts';

describe('the text of an error of a receiver', () => {
  test('holds neither credentials nor queries of URLs', () => {
    const error = new Error('POST https://me:secret@host/logs?token=secret failed', {
      cause: new AggregateError([new Error('nats://secret@a:4222 refused'), new Error('amqp://u:secret@b')]),
    });
    expect(faultText(error)).toBe(
      'POST https://***@host/logs?*** failed: nats://***@a:4222 refused: amqp://***@b',
    );
  });

  test('names the cause once, and the code of an error without words', () => {
    const refused = Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' });
    expect(faultText(new Error('the request failed', { cause: refused }))).toBe(
      'the request failed: ECONNREFUSED',
    );
    expect(faultText(new Error('same', { cause: new Error('same') }))).toBe('same');
    expect(faultText('thrown as it is')).toBe('thrown as it is');
  });

  test('ends where causes go round in a circle', () => {
    const error = new Error('a');
    error.cause = error;
    expect(faultText(error)).toBe('a');
  });

  test('is one short printable line whatever the receiver says', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => {
        const said = faultText(new Error(text));
        expect(said.length).toBeLessThanOrEqual(301);
        expect(said).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});
