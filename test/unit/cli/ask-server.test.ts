import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { askServer } from '../../../src/cli/ask-server.ts';

async function told(status: number, body: string, token?: string): Promise<{ exit: unknown; err: string }> {
  const server = createServer((_request, response) => response.writeHead(status).end(body));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  let err = '';
  const terminal = { out: () => undefined, err: (text: string) => void (err += text), interactive: true };
  const target = { option: '--ops', address: `127.0.0.1:${port}`, token, spiffe: undefined };
  const exit = await askServer(target, { path: '/x', exitOf: (code) => code }, terminal);
  return { exit, err };
}

test('what a server says does not steer the terminal, and does not flood it', async () => {
  const { exit, err } = await told(400, `one\ntwo \u001b[2J\u202Ethree ${'x'.repeat(100_000)}\n`, 'a-token');
  expect(exit).toEqual({ exit: 400 });
  expect(err).toMatch(/^pdp: one\ntwo \uFFFD\[2J\uFFFDthree x/);
  expect(err.length).toBeLessThan(5000);
});

test('who comes without a token is told where one is taken from', async () => {
  expect((await told(401, 'needs the admin token')).err).toBe(
    'pdp: needs the admin token\npdp: --token-file says where it is\n',
  );
  expect((await told(401, 'expired', 'a-token')).err).toBe('pdp: expired\n');
});
