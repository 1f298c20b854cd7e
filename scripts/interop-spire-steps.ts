import { X509Certificate } from 'node:crypto';
import type { Log } from '../src/pdp/log.ts';
import type { SvidSource, X509Svid } from '../src/pdp/x509-svid.ts';
import { createFederatedBundles } from '../src/pip/spiffe/bundle/federation.ts';
import { MACHINE_CLOCK } from '../test/support/clock.ts';
import { eventually } from '../test/support/eventually.ts';
import { createTestCa } from '../test/support/test-ca.ts';
import { type Spire, TRUST_DOMAIN } from './interop-spire-parts.ts';

const PDP = `spiffe://${TRUST_DOMAIN}/ns/pdp/sa/cedar-pdp`;
const FOREIGN = 'foreign.test';
/** Life of the SVIDs of the PDP. */
export const SVID_TTL_S = 20;
/** The agent asks the server every five seconds. */
const WITHIN_MS = 60_000;

/** What the steps share. */
export interface Run {
  readonly spire: Spire;
  readonly source: SvidSource;
  readonly log: Log;
  entryId: string;
}

/** Awaits what SPIRE brings; throws after a minute. */
export function until<T>(what: string, probe: () => T | undefined): Promise<T> {
  return eventually(what, probe, WITHIN_MS);
}

function newSvid({ source }: Run, before: X509Svid | undefined): Promise<X509Svid> {
  return until('another SVID', () => {
    const { svid } = source.state;
    return svid && svid.certificateChain !== before?.certificateChain ? svid : undefined;
  });
}

function authorities({ source }: Run, trustDomain = TRUST_DOMAIN): readonly string[] {
  return source.state.bundles.get(trustDomain)?.x509Authorities.map((ca) => ca.fingerprint256) ?? [];
}

/** Milliseconds in words. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

async function refusedBeforeRegistration(run: Run): Promise<string> {
  await run.source.start();
  if (run.source.state.svid) throw new Error('an SVID was issued to a process that is not registered');
  return 'no SVID, no bundles; the stream is opened again with a growing pause';
}

/** Registers the workloads of a selector, for SVIDs that live so long; the id of the entry. */
export function register({ spire }: Run, spiffeId: string, selector: string, ttlSeconds: number): string {
  const args = ['-spiffeID', spiffeId, '-parentID', spire.agentId, '-selector', selector];
  const made = spire.control('entry', 'create', ...args, '-x509SVIDTTL', String(ttlSeconds)) as {
    readonly results: readonly { readonly entry: { readonly id: string } }[];
  };
  return made.results[0]?.entry.id ?? '';
}

async function issue(run: Run): Promise<string> {
  const selector = `unix:uid:${process.getuid?.() ?? 0}`;
  run.entryId = register(run, PDP, selector, SVID_TTL_S);
  const svid = await newSvid(run, undefined);
  if (svid.identity.id !== PDP) throw new Error(`issued to ${svid.identity.id}`);
  const keys = await until('JWT authorities', () => {
    const count = run.source.state.bundles.get(TRUST_DOMAIN)?.jwtAuthorities.length ?? 0;
    return count > 0 ? count : undefined;
  });
  return `${PDP}, valid by our verifier; ${authorities(run).length} X.509 and ${keys} JWT authorities`;
}

async function rotate(run: Run): Promise<string> {
  const margins: number[] = [];
  for (let turn = 0; turn < 3; turn += 1) {
    const before = run.source.state.svid;
    await newSvid(run, before);
    margins.push((before?.notAfter ?? 0) - Date.now());
  }
  if (margins.some((margin) => margin <= 0)) throw new Error('an SVID expired before its successor came');
  return `3 new SVIDs on the open stream, each ${margins.map(seconds).join(', ')} before the old one expired`;
}

async function addAuthority(run: Run): Promise<string> {
  const before = authorities(run);
  run.spire.control('localauthority', 'x509', 'prepare');
  await until('a second authority', () => (authorities(run).length === before.length + 1 ? true : undefined));
  return `${before.length} → ${authorities(run).length} X.509 authorities`;
}

/** Activates the prepared authority, and waits for an SVID that it has signed. */
async function changeAuthority(run: Run): Promise<string> {
  const newest = newestAuthority(run);
  if (isSignedBy(run, newest)) throw new Error('the newest authority is in use before it is activated');
  run.spire.control('localauthority', 'x509', 'activate', '-authorityID', authorityId(run, 'prepared'));
  await until('an SVID of the new authority', () => (isSignedBy(run, newest) ? true : undefined));
  return 'an SVID that the new authority has signed, valid by the bundle that came before it';
}

/** The authority that came last. Throws where there is none. */
export function newestAuthority({ source }: Run): X509Certificate {
  const newest = source.state.bundles.get(TRUST_DOMAIN)?.x509Authorities.at(-1);
  if (!newest) throw new Error(`no authority of ${TRUST_DOMAIN} is held`);
  return newest;
}

/** Whether this process holds an SVID of that authority. */
export function isSignedBy({ source }: Run, authority: X509Certificate): boolean {
  const { svid } = source.state;
  return svid !== undefined && new X509Certificate(svid.certificateChain).verify(authority.publicKey);
}

async function revokeAuthority(run: Run): Promise<string> {
  const before = authorities(run);
  const old = authorityId(run, 'old');
  const agent = agentSerial(run);
  run.spire.control('localauthority', 'x509', 'taint', '-authorityID', old);
  // The agent too has an SVID; revoked before it has changed that, it could not come back from a restart.
  await until('the agent has left the tainted authority', () =>
    agentSerial(run) === agent ? undefined : true,
  );
  run.spire.control('localauthority', 'x509', 'revoke', '-authorityID', old);
  await until('the authority is gone', () => (authorities(run).length < before.length ? true : undefined));
  if (!run.source.state.svid) throw new Error('the SVID of the new authority was withdrawn with the old one');
  return `${before.length} → ${authorities(run).length} X.509 authorities; what the old one signed is refused from here on`;
}

/** Serial number of the agent's own SVID. */
export function agentSerial({ spire }: Run): string | undefined {
  const { agents } = spire.control('agent', 'list') as {
    readonly agents: readonly { readonly x509svid_serial_number?: string }[];
  };
  return agents[0]?.x509svid_serial_number;
}

/** Id of an authority by its state; throws where SPIRE has none. */
export function authorityId({ spire }: Run, which: 'prepared' | 'old'): string {
  const shown = spire.control('localauthority', 'x509', 'show') as Readonly<
    Record<string, { readonly authority_id?: string } | undefined>
  >;
  const id = shown[which]?.authority_id;
  if (id === undefined) throw new Error(`SPIRE shows no ${which} authority: ${JSON.stringify(shown)}`);
  return id;
}

async function addJwtKey(run: Run): Promise<string> {
  const count = (): number => run.source.state.bundles.get(TRUST_DOMAIN)?.jwtAuthorities.length ?? 0;
  const before = count();
  run.spire.control('localauthority', 'jwt', 'prepare');
  await until('another JWT authority', () => (count() > before ? true : undefined));
  return `${before} → ${count()} JWT authorities`;
}

async function federate(run: Run): Promise<string> {
  await using foreign = await createTestCa(FOREIGN);
  const args = ['-id', `spiffe://${FOREIGN}`, '-format', 'pem', '-path', foreign.bundleFile];
  run.spire.control('bundle', 'set', ...args);
  updateEntry(run, '-federatesWith', `spiffe://${FOREIGN}`);
  await until('the foreign bundle', () => (authorities(run, FOREIGN).length === 1 ? true : undefined));
  const mixed = authorities(run).includes(authorities(run, FOREIGN)[0] ?? '');
  if (mixed) throw new Error('bundles of two trust domains were merged');
  return `bundle of ${FOREIGN} beside ours, on its own`;
}

async function stopFederating(run: Run): Promise<string> {
  updateEntry(run);
  await until('the foreign bundle is gone', () => (run.source.state.bundles.has(FOREIGN) ? undefined : true));
  return `bundle of ${FOREIGN} dropped, because the new message does not hold it`;
}

function updateEntry({ spire, entryId }: Run, ...more: readonly string[]): void {
  const selector = `unix:uid:${process.getuid?.() ?? 0}`;
  const fixed = ['-entryID', entryId, '-spiffeID', PDP, '-parentID', spire.agentId, '-selector', selector];
  spire.control('entry', 'update', ...fixed, '-x509SVIDTTL', String(SVID_TTL_S), ...more);
}

async function followEndpoint({ spire, log }: Run): Promise<string> {
  const { url, spiffeId } = spire.bundleEndpoint;
  const bundleFile = await spire.saveBundle();
  await using federated = createFederatedBundles({
    bundles: [{ trustDomain: TRUST_DOMAIN, url, profile: { kind: 'https_spiffe', spiffeId, bundleFile } }],
    clock: MACHINE_CLOCK,
    log,
    times: { floorMs: 500, ceilingMs: 1_000 },
  });
  await federated.start();
  const count = (): number => federated.bundles.get(TRUST_DOMAIN)?.x509Authorities.length ?? 0;
  const before = count();
  if (before === 0) throw new Error('nothing came from the bundle endpoint');
  spire.control('localauthority', 'x509', 'prepare');
  await until('the change', () => (count() > before ? true : undefined));
  return `server verified as ${spiffeId}; ${before} → ${count()} X.509 authorities after a change`;
}

async function refuseWrongServer({ spire, log: real }: Run): Promise<string> {
  const { url } = spire.bundleEndpoint;
  const bundleFile = await spire.saveBundle();
  const spiffeId = `spiffe://${TRUST_DOMAIN}/somebody/else`;
  let problem = '';
  const log: Log = { ...real, warn: (fields) => void (problem = JSON.stringify(fields)) };
  await using federated = createFederatedBundles({
    bundles: [{ trustDomain: TRUST_DOMAIN, url, profile: { kind: 'https_spiffe', spiffeId, bundleFile } }],
    clock: MACHINE_CLOCK,
    log,
  });
  await federated.start();
  if (federated.bundles.size > 0 || !problem.includes('not the configured'))
    throw new Error(`taken: ${problem}`);
  return 'refused before anything was asked';
}

async function restartAgent(run: Run): Promise<string> {
  await run.spire.stopAgent();
  const before = run.source.state.svid;
  if (!before) throw new Error('the SVID was dropped while it was valid');
  await run.spire.startAgent();
  await newSvid(run, before);
  return 'SVID kept while the agent was away; the next one came over a new connection';
}

async function withdraw(run: Run): Promise<string> {
  run.spire.control('entry', 'delete', '-entryID', run.entryId);
  await until('the SVID is gone', () => (run.source.state.svid ? undefined : true));
  return 'PermissionDenied on the live stream; the SVID is not used any more';
}

/** What is done, in this order; each says what was seen, and throws where it is not as it should be. */
export const STEPS: readonly (readonly [string, (run: Run) => Promise<string>])[] = [
  ['Before registration', refusedBeforeRegistration],
  ['SVID issue, after registration', issue],
  ['SVID rotation', rotate],
  ['Bundle: an X.509 authority is added', addAuthority],
  ['The new authority signs', changeAuthority],
  ['Bundle: the old authority is tainted and revoked', revokeAuthority],
  ['Bundle: a JWT authority is added', addJwtKey],
  ['Federation through SPIRE: a foreign bundle', federate],
  ['Federation through SPIRE: it ends', stopFederating],
  ['Bundle endpoint of SPIRE, https_spiffe', followEndpoint],
  ['Bundle endpoint with another SPIFFE ID', refuseWrongServer],
  ['The agent restarts', restartAgent],
  ['The registration is deleted', withdraw],
];
