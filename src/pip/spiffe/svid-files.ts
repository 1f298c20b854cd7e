import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { SvidSource, SvidState, TrustBundle, TrustBundles, X509Svid } from '../../pdp/x509-svid.ts';
import { readBundleFile } from './bundle/bundle-document.ts';
import { readOwnSvid } from './own-svid.ts';
import { type WatchedFiles, watchFiles } from './watched-files.ts';

/** Settings of {@link createSvidFiles}. */
export interface SvidFilesOptions {
  /** PEM, leaf first, then its intermediates. */
  readonly certFile: string;
  /** PEM of PKCS #8, PKCS #1 or SEC 1, not encrypted. */
  readonly keyFile: string;
  /** Bundles of our own and of federated trust domains, each in PEM, as a bundle document or as a bundle map. */
  readonly bundles: readonly BundleFile[];
  /** Ms between looks at the files; 1000 where not given. */
  readonly pollMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where the bundle of one trust domain is. */
export interface BundleFile {
  readonly trustDomain: string;
  readonly file: string;
}

type Contents = ReadonlyMap<string, string>;

const POLL_MS = 1_000;

/**
 * Holds our SVID and the trust bundles from files that something else rotates. A certificate is taken together with its key only when
 * they belong together, its SPIFFE ID is right and its chain verifies against the bundle of its own trust domain; else what was held
 * before stays, and the log says why. The same goes for each bundle by itself. `start` begins to look.
 */
export function createSvidFiles(options: SvidFilesOptions): SvidSource {
  const { certFile, keyFile, log, pollMs: intervalMs = POLL_MS } = options;
  const listeners = new Set<() => void>();
  const readBundles = bundleReader(options);
  const readSvid = svidReader(options);
  let state: SvidState = { bundles: new Map() };
  const onLook = (contents: Contents, hasChanged: boolean): void => {
    const bundles = hasChanged ? readBundles(contents, state.bundles) : state.bundles;
    const svid = readSvid(contents, { ...state, bundles }, hasChanged);
    if (svid === state.svid && bundles === state.bundles) return;
    state = { bundles, ...(svid && { svid }) };
    for (const listener of listeners) listener();
  };
  const files = new Set([certFile, keyFile, ...options.bundles.map(({ file }) => file)]);
  const onProblem = (file: string, problem: string): void =>
    log.error(
      { file, problem },
      'a file of our SVID or of a trust bundle cannot be read: what is held stays',
    );
  const open = new AsyncDisposableStack();
  let watched: WatchedFiles | undefined;
  return {
    get state() {
      return state;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    start: async () => {
      if (open.disposed) return;
      watched ??= open.use(watchFiles({ files: [...files], intervalMs, onLook, onProblem }));
      await watched.look();
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** Reads what has changed of the bundles; gives back the same map where nothing has. */
function bundleReader({ bundles: files, log }: SvidFilesOptions) {
  const seen = new Map<string, string>();
  const read = ({ trustDomain, file }: BundleFile, contents: Contents): TrustBundle | undefined => {
    const content = contents.get(file);
    if (content === undefined || content === seen.get(trustDomain)) return undefined;
    seen.set(trustDomain, content);
    const reading = readBundleFile(content, trustDomain);
    const fields = { trust_domain: trustDomain, file };
    if ('problem' in reading) {
      const problem = `the bundle ${reading.problem}`;
      log.error({ ...fields, problem }, 'trust bundle refused: what is held of it stays');
      return undefined;
    }
    const { x509Authorities, jwtAuthorities } = reading.bundle;
    const counts = { x509_authorities: x509Authorities.length, jwt_authorities: jwtAuthorities.length };
    log.info({ ...fields, ...counts }, 'trust bundle taken');
    return reading.bundle;
  };
  return (contents: Contents, held: TrustBundles): TrustBundles => {
    const changed = files.flatMap((file) => read(file, contents) ?? []);
    if (changed.length === 0) return held;
    return new Map([...held, ...changed.map((bundle) => [bundle.trustDomain, bundle] as const)]);
  };
}

/** Reads the pair of certificate and key after a change, and again while time alone may mend it; gives back what is held otherwise. */
function svidReader({ certFile, keyFile, clock, log }: SvidFilesOptions) {
  let waitsForTime = false;
  return (contents: Contents, { svid, bundles }: SvidState, hasChanged: boolean): X509Svid | undefined => {
    const certificates = contents.get(certFile);
    const key = contents.get(keyFile);
    if (!(hasChanged || waitsForTime) || certificates === undefined || key === undefined) return svid;
    const read = readOwnSvid(certificates, key, bundles, clock.now());
    waitsForTime = 'problem' in read && read.cause === 'not_yet_valid';
    if ('problem' in read) {
      const words = svid ? 'SVID refused: the one that is held stays' : 'SVID refused: none is held';
      if (hasChanged) log.warn({ file: certFile, cause: read.cause, problem: read.problem }, words);
      return svid;
    }
    if (read.certificateChain === svid?.certificateChain && read.privateKey === svid.privateKey) return svid;
    const fields = { spiffe_id: read.identity.id, expires_at: new Date(read.notAfter).toISOString() };
    log.info(fields, 'SVID taken');
    return read;
  };
}
