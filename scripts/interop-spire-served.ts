import type { X509Certificate } from 'node:crypto';
import { type SecureContextOptions, connect as connectTls } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import type { X509Svid } from '../src/pdp/x509-svid.ts';
import { eventually } from '../test/support/eventually.ts';
import { checkRequestBytes } from '../test/support/requests.ts';
import { connect } from '../test/unit/api/grpc-client.ts';
import { TRUST_DOMAIN } from './interop-spire-parts.ts';
import { PEP, SERVED, type Readyz, type ServedPdp } from './interop-spire-pdp.ts';
import {
  type Run,
  SVID_TTL_S,
  agentSerial,
  authorityId,
  isSignedBy,
  newestAuthority,
  register,
  seconds,
  until,
} from './interop-spire-steps.ts';

/** What the steps with `pdp serve` share. This process is the PEP in them; `entryId` is the registration of the server. */
export interface ServedRun extends Run {
  readonly pdp: ServedPdp;
}

/** Outlives the steps, so that only a revocation ends it. */
const PEP_TTL_S = 600;

function pepSvid({ source }: Run): X509Svid {
  const { svid } = source.state;
  if (svid?.identity.id !== PEP)
    throw new Error(`the PEP has no SVID of its own: ${svid?.identity.id ?? 'none'}`);
  return svid;
}

function trusted({ source }: Run, { certificateChain, privateKey }: X509Svid) {
  const ca = source.state.bundles.get(TRUST_DOMAIN)?.x509Authorities.map((authority) => authority.toString());
  return { ca: ca ?? [], cert: certificateChain, key: privateKey } satisfies SecureContextOptions;
}

function notServed(names: string | undefined): Error | undefined {
  return names === `URI:${SERVED}` ? undefined : new Error(`the server is ${names ?? 'nobody'}`);
}

/** A gRPC client of the server, with this SVID, which takes the server's SPIFFE ID and no other. */
function dial(run: ServedRun, svid = pepSvid(run)) {
  const { ca, cert, key } = trusted(run, svid);
  const channel = credentials.createSsl(Buffer.from(ca.join('')), Buffer.from(key), Buffer.from(cert), {
    checkServerIdentity: (_host, { subjectaltname }) => notServed(subjectaltname),
  });
  return connect(`127.0.0.1:${run.pdp.grpcPort}`, channel, true);
}

async function ask(client: ReturnType<typeof dial>): Promise<void> {
  const { allowed, metadata } = await client.check(checkRequestBytes());
  if (!allowed) throw new Error(`denied: ${String(metadata['reason'])}`);
}

async function askAnew(run: ServedRun, svid?: X509Svid): Promise<void> {
  using client = dial(run, svid);
  await ask(client);
}

/** The certificate that a new connection is shown, once verified by the bundle of the PEP. */
function shown(run: ServedRun): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(
      {
        host: '127.0.0.1',
        port: run.pdp.grpcPort,
        ALPNProtocols: ['h2'],
        checkServerIdentity: (_host, { subjectaltname }) => notServed(subjectaltname),
        ...trusted(run, pepSvid(run)),
      },
      () => {
        const certificate = socket.getPeerX509Certificate();
        socket.destroy();
        if (certificate) resolve(certificate);
        else reject(new Error('no certificate was shown'));
      },
    );
    socket.once('error', reject);
  });
}

function anotherShown(run: ServedRun, before: X509Certificate): Promise<X509Certificate> {
  return eventually(
    'the listener shows another SVID',
    async () => {
      const now = await shown(run);
      return now.fingerprint256 === before.fingerprint256 ? undefined : now;
    },
    60_000,
  );
}

/** Calls without a pause while `action` goes on, on one connection that stays and on a new one for each call. Throws where one fails. */
async function underCalls(run: ServedRun, action: () => Promise<void>): Promise<string> {
  let answered = 0;
  const state = { isOver: false };
  using kept = dial(run);
  const lane = async (call: () => Promise<void>): Promise<void> => {
    for (; !state.isOver; answered += 1) await call();
  };
  const lanes = Promise.all([lane(() => ask(kept)), lane(() => askAnew(run))]);
  try {
    await Promise.race([action(), lanes.then(() => undefined)]);
  } finally {
    state.isOver = true;
  }
  await lanes;
  return `${answered} calls answered with ALLOW meanwhile, none failed`;
}

async function refuseBefore(run: ServedRun): Promise<string> {
  register(run, PEP, run.pdp.selectors.pep, PEP_TTL_S);
  await until('the PEP has its SVID', () => (run.source.state.svid ? true : undefined));
  run.pdp.start();
  const { status, problems } = await readyzWhere(run, ({ problems: all }) => all.length > 0);
  if (status !== 503) throw new Error(`/readyz says ${status}`);
  await shown(run).then(
    () => Promise.reject(new Error('the gRPC surface is open without an SVID')),
    () => undefined,
  );
  return `gRPC port closed; /readyz 503: ${problems.join('; ')}`;
}

function readyzWhere({ pdp }: ServedRun, isIt: (readyz: Readyz) => boolean): Promise<Readyz> {
  return eventually(
    '/readyz has changed',
    async () => {
      const readyz = await pdp.readyz();
      return readyz && isIt(readyz) ? readyz : undefined;
    },
    60_000,
  );
}

async function serve(run: ServedRun): Promise<string> {
  run.entryId = register(run, SERVED, run.pdp.selectors.served, SVID_TTL_S);
  await readyzWhere(run, ({ status }) => status === 200);
  await askAnew(run);
  return `/readyz 200; its listener shows ${SERVED}, and answers a Check of ${PEP} with ALLOW over mutual TLS`;
}

async function rotateServed(run: ServedRun): Promise<string> {
  const margins: number[] = [];
  const calls = await underCalls(run, async () => {
    let before = await shown(run);
    for (let turn = 0; turn < 3; turn += 1) {
      const next = await anotherShown(run, before);
      margins.push(Date.parse(before.validTo) - Date.now());
      before = next;
    }
  });
  if (margins.some((margin) => margin <= 0))
    throw new Error('an SVID expired before its successor was shown');
  const taken = await run.pdp.metric('pdp_svids_taken_total');
  return `3 new SVIDs shown, ${margins.map(seconds).join(', ')} before the old one expired (pdp_svids_taken_total ${taken}); ${calls}`;
}

/** A new authority signs the server and the PEP; each verifies the other, which takes the new bundle on both sides. */
async function moveServed(run: ServedRun): Promise<string> {
  const before = run.source.state.bundles.get(TRUST_DOMAIN);
  const calls = await underCalls(run, async () => {
    run.spire.control('localauthority', 'x509', 'prepare');
    await until('the bundle has changed', () =>
      run.source.state.bundles.get(TRUST_DOMAIN) === before ? undefined : true,
    );
    const newest = newestAuthority(run);
    run.spire.control('localauthority', 'x509', 'activate', '-authorityID', authorityId(run, 'prepared'));
    await eventually(
      'the listener shows an SVID of the new authority',
      async () => ((await shown(run)).verify(newest.publicKey) ? true : undefined),
      60_000,
    );
  });
  return `its listener shows an SVID of the new authority; ${calls}`;
}

async function revokeServed(run: ServedRun): Promise<string> {
  const old = { svid: pepSvid(run), authority: authorityId(run, 'old'), agent: agentSerial(run) };
  const newest = newestAuthority(run);
  const calls = await underCalls(run, async () => {
    run.spire.control('localauthority', 'x509', 'taint', '-authorityID', old.authority);
    await until('the PEP has an SVID of the new authority', () =>
      isSignedBy(run, newest) ? true : undefined,
    );
    await until('the agent has one too', () => (agentSerial(run) === old.agent ? undefined : true));
    // The server knows the authority that it did not know when it started: the new bundle has reached it.
    await askAnew(run);
  });
  using kept = dial(run, old.svid);
  await ask(kept);
  run.spire.control('localauthority', 'x509', 'revoke', '-authorityID', old.authority);
  await eventually(
    'the server cuts the connection',
    () =>
      kept.check(checkRequestBytes()).then(
        () => undefined,
        () => true,
      ),
    60_000,
  );
  await refusedForItsChain(run, old.svid);
  await askAnew(run);
  const left = seconds(old.svid.notAfter - Date.now());
  return `a PEP of the new authority is answered; ${calls}. The revocation cuts a connection of the PEP's old SVID; a new one is refused (cause="chain"), though the SVID is valid for another ${left}`;
}

async function refusedForItsChain(run: ServedRun, svid: X509Svid): Promise<void> {
  const refused = 'pdp_connections_refused_total\\{surface="grpc",cause="chain"\\}';
  const before = (await run.pdp.metric(refused)) || 0;
  const isAnswered = await askAnew(run, svid).then(
    () => true,
    () => false,
  );
  if (isAnswered || !((await run.pdp.metric(refused)) > before))
    throw new Error('a new connection of an SVID of the revoked authority was taken');
}

async function withdrawServed(run: ServedRun): Promise<string> {
  run.spire.control('entry', 'delete', '-entryID', run.entryId);
  let last = await shown(run);
  const { problems } = await eventually(
    '/readyz falls',
    async () => {
      last = await shown(run).catch(() => last);
      const readyz = await run.pdp.readyz();
      return readyz?.status === 503 ? readyz : undefined;
    },
    60_000,
  );
  const left = Date.parse(last.validTo) - Date.now();
  if (left <= 0) throw new Error('readiness fell only after the SVID had expired');
  const isRefused = await askAnew(run).then(
    () => false,
    () => true,
  );
  if (!isRefused) throw new Error('a new connection was answered with an SVID that was withdrawn');
  return `/readyz 503, ${seconds(left)} before the last SVID would have expired: ${problems.join('; ')}; new connections are refused`;
}

/** What is done with a real `pdp serve`, in this order, after the steps of this process alone. */
export const SERVED_STEPS: readonly (readonly [string, (run: ServedRun) => Promise<string>])[] = [
  ['`pdp serve`, before registration', refuseBefore],
  ['`pdp serve`: registered, and asked by a PEP', serve],
  ['`pdp serve`: SVID rotation under calls', rotateServed],
  ['`pdp serve`: a new authority, under calls', moveServed],
  ['`pdp serve`: the old authority is tainted and revoked', revokeServed],
  ['`pdp serve`: its registration is deleted', withdrawServed],
];
