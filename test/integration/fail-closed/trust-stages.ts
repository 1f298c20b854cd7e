import { rm } from 'node:fs/promises';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { replaceFile } from '../../support/rotation.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { derOf, startWorkloadApi, svidMessage } from '../../support/workload-api-server.ts';
import type { Row } from './matrix.ts';
import type { Stage } from './stage.ts';
import { type Ground, type Question, told } from './world.ts';

const TRUST_DOMAIN = 'prod.example.com';
const PEP = `spiffe://${TRUST_DOMAIN}/ns/mesh/sa/envoy`;
const PDP = `spiffe://${TRUST_DOMAIN}/ns/cedar-pdp/sa/cedar-pdp`;
/** Long enough to start and to ask in good order. */
const SHORT_MS = 4_000;

/** A PEP that is trusted, one that another authority of the same name made, and our own SVID. */
interface Parties extends AsyncDisposable {
  readonly ca: TestCa;
  readonly own: Leaf;
  readonly good: Question;
  readonly bad: Question;
}

async function createParties({ fault }: Row): Promise<Parties> {
  const ca = await createTestCa(TRUST_DOMAIN);
  const impostor = await createTestCa(TRUST_DOMAIN);
  const lifetimeMs = fault === 'stale' ? SHORT_MS : 3_600_000;
  const own = await ca.issue({ spiffeId: PDP, dns: ['pdp.test'], lifetimeMs });
  const as = (leaf: Leaf): Question => ({ path: '/open', channel: channelOf(leaf, ca.bundle) });
  return {
    ca,
    own,
    good: as(await ca.issue({ spiffeId: PEP })),
    bad: as(await impostor.issue({ spiffeId: PEP })),
    async [Symbol.asyncDispose]() {
      await ca[Symbol.asyncDispose]();
      await impostor[Symbol.asyncDispose]();
    },
  };
}

function channelOf({ key, cert }: Leaf, roots: string): ChannelCredentials {
  return credentials.createSsl(Buffer.from(roots), Buffer.from(key), Buffer.from(cert));
}

const surfaces = { grpc: { address: '127.0.0.1:0', allow: [PEP] } };

/** Our SVID and the bundle in files. */
export async function stageTrustFiles(_ground: Ground, row: Row): Promise<Stage> {
  const parties = await createParties(row);
  const { ca, own, good, bad } = parties;
  const other = await ca.issue({ spiffeId: PDP });
  const bundles = [{ trust_domain: TRUST_DOMAIN, file: ca.bundleFile }];
  const put = (text: string) => () => replaceFile(ca.bundleFile, text);
  const spiffe = { source: 'files', cert_file: own.certFile, key_file: own.keyFile, bundles };
  return {
    good,
    bad,
    config: { ...surfaces, spiffe },
    noticed: told(/SVID|bundle/),
    faults: {
      'the trust bundle is removed': () => rm(ca.bundleFile),
      'the trust bundle is no bundle': put('<html>'),
      'the trust bundle holds no authority': put(''),
      'the trust bundle is 10 MB long': put(`${ca.bundle}\n`.repeat(10_000_000 / ca.bundle.length)),
      'the key is not that of the certificate': () => replaceFile(own.keyFile, other.key),
      'the SVID expires and no other comes': () => undefined,
    },
    [Symbol.asyncDispose]: () => parties[Symbol.asyncDispose](),
  };
}

/** Our SVID and the bundle from an agent. */
export async function stageWorkloadApi(_ground: Ground, row: Row): Promise<Stage> {
  const parties = await createParties(row);
  const { ca, own, good, bad } = parties;
  const api = await startWorkloadApi();
  const svid = svidMessage(own, ca.bundle);
  api.send('FetchX509SVID', { svids: [svid] });
  api.send('FetchX509Bundles', { bundles: { [`spiffe://${TRUST_DOMAIN}`]: derOf(ca.bundle) } });
  api.send('FetchJWTBundles', { bundles: { [`spiffe://${TRUST_DOMAIN}`]: Buffer.from('{"keys":[]}') } });
  const stop = (): Promise<void> => api.die();
  return {
    good,
    bad,
    config: { ...surfaces, spiffe: { source: 'workload_api', endpoint: api.endpoint } },
    noticed: told(/Workload API/),
    faults: {
      'the agent is stopped': stop,
      'the agent is stopped, and the SVID expires': stop,
      'the agent sends an SVID without its key': () =>
        api.send('FetchX509SVID', { svids: [{ ...svid, x509_svid_key: Buffer.alloc(0) }] }),
    },
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await parties[Symbol.asyncDispose]();
    },
  };
}
