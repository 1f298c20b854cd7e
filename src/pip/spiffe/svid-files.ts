import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import type {
  BundleHealth,
  SvidHealth,
  SvidProblem,
  SvidSource,
  SvidState,
  TrustBundle,
  TrustBundles,
  X509Svid,
} from '../../pdp/x509-svid.ts';
import { readBundleFile } from './bundle/bundle-document.ts';
import { createListeners } from './listeners.ts';
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
  const listeners = createListeners(log);
  const bundleFiles = bundleReader(options);
  const pair = svidReader(options);
  const unreadable = new Map<string, string>();
  let state: SvidState = { bundles: new Map() };
  const onLook = (contents: Contents, hasChanged: boolean): void => {
    for (const file of contents.keys()) unreadable.delete(file);
    const bundles = bundleFiles.read(contents, state.bundles, hasChanged);
    const svid = pair.read(contents, { ...state, bundles }, hasChanged);
    if (svid === state.svid && bundles === state.bundles) return;
    state = { bundles, ...(svid && { svid }) };
    listeners.tell('our SVID or of a trust bundle');
  };
  const files = new Set([certFile, keyFile, ...options.bundles.map(({ file }) => file)]);
  const onProblem = (file: string, problem: string): void => {
    unreadable.set(file, problem);
    log.error(
      { file, problem },
      'a file of our SVID or of a trust bundle cannot be read: what is held stays',
    );
  };
  const open = new AsyncDisposableStack();
  let watched: WatchedFiles | undefined;
  return {
    get state() {
      return state;
    },
    get health() {
      return { ...pair.health(unreadable), bundles: bundleFiles.health(unreadable) };
    },
    onChange: (listener) => listeners.add(listener),
    start: async () => {
      if (open.disposed) return;
      watched ??= open.use(watchFiles({ files: [...files], intervalMs, onLook, onProblem }));
      await watched.look();
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

interface BundleReader {
  /** Reads what has changed of the bundles; gives back the same map where nothing has. */
  read(contents: Contents, held: TrustBundles, hasChanged: boolean): TrustBundles;
  health(unreadable: Contents): readonly BundleHealth[];
}

function bundleReader({ bundles: files, clock, log }: SvidFilesOptions): BundleReader {
  const seen = new Map<string, { readonly content: string; readonly problem?: string }>();
  const confirmed = new Map<string, number>();
  const read = ({ trustDomain, file }: BundleFile, contents: Contents): TrustBundle | undefined => {
    const content = contents.get(file);
    if (content === undefined || content === seen.get(trustDomain)?.content) return undefined;
    const reading = readBundleFile(content, trustDomain);
    const fields = { trust_domain: trustDomain, file };
    if ('problem' in reading) {
      const problem = `the bundle ${reading.problem}`;
      seen.set(trustDomain, { content, problem });
      log.error({ ...fields, problem }, 'trust bundle refused: what is held of it stays');
      return undefined;
    }
    seen.set(trustDomain, { content });
    const { x509Authorities, jwtAuthorities } = reading.bundle;
    const counts = { x509_authorities: x509Authorities.length, jwt_authorities: jwtAuthorities.length };
    log.info({ ...fields, ...counts }, 'trust bundle taken');
    return reading.bundle;
  };
  const confirm = ({ trustDomain, file }: BundleFile, contents: Contents): void => {
    const known = seen.get(trustDomain);
    if (contents.has(file) && known && known.problem === undefined) confirmed.set(trustDomain, clock.now());
  };
  return {
    read(contents, held, hasChanged) {
      const changed = hasChanged ? files.flatMap((file) => read(file, contents) ?? []) : [];
      for (const file of files) confirm(file, contents);
      if (changed.length === 0) return held;
      return new Map([...held, ...changed.map((bundle) => [bundle.trustDomain, bundle] as const)]);
    },
    health: (unreadable) =>
      files.map(({ trustDomain, file }) => {
        const problem = unreadable.get(file) ?? seen.get(trustDomain)?.problem;
        const confirmedAt = confirmed.get(trustDomain);
        return {
          trustDomain,
          ...(confirmedAt !== undefined && { confirmedAt }),
          ...(problem !== undefined && { problem }),
        };
      }),
  };
}

interface PairReader {
  /** Reads certificate and key after a change, and again while time alone may mend it; gives back what is held otherwise. */
  read(contents: Contents, state: SvidState, hasChanged: boolean): X509Svid | undefined;
  health(unreadable: Contents): Omit<SvidHealth, 'bundles'>;
}

function svidReader({ certFile, keyFile, clock, log }: SvidFilesOptions): PairReader {
  let waitsForTime = false;
  let refusal: string | undefined;
  let refused = 0;
  const refuse = ({ cause, problem }: SvidProblem, isHeld: boolean): void => {
    refusal = problem;
    refused += 1;
    const words = isHeld ? 'SVID refused: the one that is held stays' : 'SVID refused: none is held';
    log.warn({ file: certFile, cause, problem }, words);
  };
  return {
    read(contents, { svid, bundles }, hasChanged) {
      const certificates = contents.get(certFile);
      const key = contents.get(keyFile);
      if (!(hasChanged || waitsForTime) || certificates === undefined || key === undefined) return svid;
      const read = readOwnSvid(certificates, key, bundles, clock.now());
      waitsForTime = 'problem' in read && read.cause === 'not_yet_valid';
      if ('problem' in read) {
        if (hasChanged) refuse(read, svid !== undefined);
        return svid;
      }
      refusal = undefined;
      if (read.certificateChain === svid?.certificateChain && read.privateKey === svid.privateKey)
        return svid;
      const fields = { spiffe_id: read.identity.id, expires_at: new Date(read.notAfter).toISOString() };
      log.info(fields, 'SVID taken');
      return read;
    },
    health(unreadable) {
      const file = [certFile, keyFile].find((name) => unreadable.has(name));
      const which = file === certFile ? 'certificate' : 'private key';
      const problem =
        file === undefined ? refusal : `the ${which} cannot be read: ${unreadable.get(file) ?? ''}`;
      return { refused, ...(problem !== undefined && { problem }) };
    },
  };
}
