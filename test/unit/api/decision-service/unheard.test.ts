import http2 from 'node:http2';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../../support/eventually.ts';
import { serve } from './fixture.ts';

/** Begins a call and sends the head of a message that never comes. */
function begin(address: string, method: string): http2.ClientHttp2Stream {
  const session = http2.connect(`http://${address}`);
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    ':path': `/pdp.v1.DecisionService/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.write(Buffer.from([0, 0, 0, 0, 100]));
  return stream;
}

test.each(['Check', 'BatchCheck', 'Explain'])(
  'a %s that is reset before it is whole leaves a record',
  async (method) => {
    const { server, records } = await serve();
    const stream = begin(server.address, method);
    await new Promise((resolve) => stream.session?.ping(resolve));
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually('the record', () => (records.length > 0 ? true : undefined));
    expect(records[0]).toMatchObject({
      surface: 'check',
      decision: { verdict: 'deny', reason: 'cancelled' },
    });
  },
);

test('a message that does not end in time ends the call, and leaves a record', async () => {
  const { server, records } = await serve({}, { timeoutMs: 50 });
  const stream = begin(server.address, 'Check');
  const code = await new Promise((resolve) => {
    stream.on('response', (fields) => fields['grpc-status'] !== undefined && resolve(fields['grpc-status']));
    stream.on('trailers', (fields) => resolve(fields['grpc-status']));
    stream.resume();
  });
  expect(code).toBe('4');
  expect(records.map(({ decision }) => decision.reason)).toEqual(['cancelled']);
});
