import { describe, expect, onTestFinished, test } from 'vitest';
import { startHttpServer } from '../../../../src/api/http/http-server.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';

async function serve() {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: answer, resolve: finish } = Promise.withResolvers<string>();
  const say = () => undefined;
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    clock: MACHINE_CLOCK,
    log: { info: say, warn: say, error: say },
    maxBodyBytes: 1024,
    routes: [
      (app) =>
        app.get('/', async () => {
          begin();
          return await answer;
        }),
    ],
  });
  if (!server) throw new Error('no surface');
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { server, begun, finish, url: `http://${server.address}/` };
}

describe('draining', () => {
  test('lets an answer under way go out, and takes nobody else', async () => {
    const { server, begun, finish, url } = await serve();
    const call = fetch(url);
    await begun;
    const drained = server.drain(10_000);
    await expect(fetch(url)).rejects.toThrow();
    finish('answered');
    expect(await (await call).text()).toBe('answered');
    await drained;
  });

  test('waits no longer than its grace', async () => {
    const { server, begun, url } = await serve();
    const call = fetch(url).catch((error: unknown) => error);
    await begun;
    await server.drain(20);
    await server[Symbol.asyncDispose]();
    expect(await call).toBeInstanceOf(Error);
  });

  test('is over at once where nothing is under way', async () => {
    const { server } = await serve();
    await server.drain(60_000);
  });
});
