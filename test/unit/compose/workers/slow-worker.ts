import { runAsWorker } from '../../../../src/compose/workers/worker.ts';

const asked = Promise.withResolvers<void>();
process.on('message', ({ type }: { type: string }) => void (type === 'ask' && asked.resolve()));

/** A worker that starts when it was asked something, and tells when it reloads. */
await runAsWorker(async () => {
  await asked.promise;
  return {
    started: { addresses: { grpc: '' }, banner: '' },
    reload: () => void process.send?.({ type: 'reloaded' }),
    stop: () => Promise.resolve(),
  };
});
