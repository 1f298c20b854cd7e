import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecurityEffect } from '../../../src/pdp/security-event.ts';
import { PdpError } from '../../../src/pdp/errors.ts';
import type { SharedState } from '../../../src/pdp/shared-state.ts';
import { openEmbeddedState } from '../../../src/pip/shared/embedded-state.ts';
import { type EventStreamOptions, openEventStream } from '../../../src/pip/ssf/event-stream.ts';
import type { EventTold } from '../../../src/pip/ssf/receiver.ts';
import { createIssuer } from '../../../src/pip/token/issuer.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { RECEIVER, type TestTransmitter, TRANSMITTER_TOKEN } from '../../support/ssf-transmitter.ts';
import { memoryLog } from '../../unit/pip/fixture.ts';

/** Opens a stream of `transmitter` with real parts around it; effects are kept. It is not started. */
export async function openTestStream(
  transmitter: TestTransmitter,
  options: Partial<EventStreamOptions> & Pick<EventStreamOptions, 'delivery'>,
  shared?: SharedState,
) {
  const stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'pdp-ssf-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, `${TRANSMITTER_TOKEN}\n`);
  const log = memoryLog();
  const clock = MACHINE_CLOCK;
  const state =
    shared ?? stack.use(await openEmbeddedState({ clock, log, maxEntries: 1000, timeoutMs: 1000 }));
  const applied: SecurityEffect[] = [];
  const told: EventTold[] = [];
  const effects = {
    fails: false,
    async apply(these: readonly SecurityEffect[]) {
      if (this.fails) throw new PdpError('state_unavailable', 'the test says so');
      applied.push(...these);
    },
  };
  const issuers = [
    createIssuer({
      name: 'idp',
      issuer: transmitter.issuer,
      use: 'user',
      audiences: ['pdp'],
      algorithms: ['ES256'],
      types: ['at+jwt'],
    }),
  ];
  const stream = stack.use(
    await openEventStream(
      {
        name: 'idp-events',
        issuer: transmitter.issuer,
        audiences: [RECEIVER],
        algorithms: ['RS256'],
        maxAgeSeconds: 3600,
        skewSeconds: 30,
        credentials: { token: tokenFile },
        choices: { credentialChangeVoids: true, highRiskVoids: ['session'] },
        issuersByIss: new Map(),
        defaultIssuers: {},
        workloads: false,
        criticalMembers: [],
        manage: false,
        verification: { intervalMs: 0, withinMs: 1000 },
        ...options,
      },
      { effects, state, issuers, clock, log, onEvent: (event) => void told.push(event) },
    ),
  );
  return {
    stream,
    effects,
    applied,
    told,
    log,
    tokenFile,
    state,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
