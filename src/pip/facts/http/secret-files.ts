import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { InputError, type Problem } from '../../../pdp/errors.ts';
import type { Log } from '../../../pdp/log.ts';
import { type WatchedFiles, watchFiles } from '../../spiffe/watched-files.ts';

/** Files with what proves us to a server, and with whom we trust. */
export interface CredentialFiles {
  /** A bearer token (RFC 6750 §2.1). */
  readonly token?: string;
  /** Our certificate in PEM, leaf first, and its key. */
  readonly cert?: string;
  readonly key?: string;
  /** PEM of the authorities that the server's certificate may come from, in place of the public ones. */
  readonly ca?: string;
  /** File with the value of each of these headers. */
  readonly headers?: ReadonlyMap<string, string>;
}

/** What the files held when they were last good. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string };
}

/** Credentials that follow their files. */
export interface CredentialSource extends AsyncDisposable {
  readonly current: Credentials;
}

/** Settings of {@link openCredentials}. */
export interface CredentialOptions {
  /** Name of the information point, for messages. */
  readonly name: string;
  readonly files: CredentialFiles;
  /** Ms between looks; 1000 where not given. */
  readonly pollMs?: number;
  readonly log: Log;
  /** Certificate, key or authorities have changed: connections that were made with the old ones have to go. */
  readonly onTlsChange: (tls: Credentials['tls']) => void;
}

type Contents = ReadonlyMap<string, string>;

/**
 * Reads credentials from files and follows their changes. What is not right after a change (a key that is not the certificate's, say,
 * because only one of them has been written yet) is logged, and what was held stays. Throws `InputError` where a file is not right at the
 * start. No message holds what is in the files.
 */
export async function openCredentials(options: CredentialOptions): Promise<CredentialSource> {
  const { name, files, log, pollMs: intervalMs = 1_000, onTlsChange } = options;
  const unreadable = new Map<string, string>();
  let current: Credentials | undefined;
  let problems: readonly Problem[] = [];
  const take = (contents: Contents): void => {
    const read = readCredentials(files, contents, unreadable);
    if ('problems' in read) {
      problems = read.problems;
      for (const { where: file, message: problem } of problems)
        log.error({ source: name, file, problem }, 'credentials refused: those that are held stay');
      return;
    }
    const before = current;
    current = read;
    if (before && !isSameTls(before.tls, read.tls)) onTlsChange(read.tls);
    if (before) log.info({ source: name }, 'credentials changed');
  };
  const watched = watchFiles({
    files: [
      ...new Set([files.token, files.cert, files.key, files.ca, ...(files.headers?.values() ?? [])]),
    ].filter((file) => file !== undefined),
    intervalMs,
    onLook: (contents, hasChanged) => {
      for (const file of contents.keys()) unreadable.delete(file);
      if (hasChanged || current === undefined) take(contents);
    },
    onProblem: (file, problem) => unreadable.set(file, problem),
  });
  return await settled(
    watched,
    name,
    () => current,
    () => problems,
  );
}

async function settled(
  watched: WatchedFiles,
  name: string,
  current: () => Credentials | undefined,
  problems: () => readonly Problem[],
): Promise<CredentialSource> {
  await watched.look();
  const first = current();
  if (first === undefined) {
    await watched[Symbol.asyncDispose]();
    throw new InputError(`the credentials of '${name}' are not right`, problems());
  }
  return {
    get current() {
      return current() ?? first;
    },
    [Symbol.asyncDispose]: () => watched[Symbol.asyncDispose](),
  };
}

function readCredentials(
  files: CredentialFiles,
  contents: Contents,
  unreadable: Contents,
): Credentials | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const contentOf = (file: string | undefined): string | undefined => {
    if (file === undefined) return undefined;
    const content = contents.get(file);
    if (content === undefined)
      problems.push({ where: file, message: unreadable.get(file) ?? 'cannot be read' });
    return content;
  };
  const headerOf = (header: string, file: string, form: RegExp, prefix = ''): [string, string] => {
    const value = contentOf(file)?.replace(/\r?\n$/, '');
    if (value !== undefined && !form.test(value))
      problems.push({ where: file, message: 'does not hold one line that a header can carry' });
    return [header, `${prefix}${value ?? ''}`];
  };
  const headers = Object.fromEntries([
    ...[...(files.headers ?? [])].map(([header, file]) => headerOf(header, file, /^[\x20-\x7e]{1,16384}$/)),
    ...(files.token === undefined
      ? []
      : [headerOf('authorization', files.token, /^[\w.~+/-]{1,16384}=*$/, 'Bearer ')]),
  ]);
  const [cert, key, ca] = [contentOf(files.cert), contentOf(files.key), contentOf(files.ca)];
  const tls = {
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(ca !== undefined && { ca }),
  };
  if (problems.length === 0) problems.push(...tlsProblems(files, tls));
  return problems.length > 0 ? { problems } : { headers, tls };
}

function tlsProblems(files: CredentialFiles, tls: Credentials['tls']): readonly Problem[] {
  const problems: Problem[] = [];
  if (tls.ca !== undefined && !holdsCertificates(tls.ca))
    problems.push({ where: files.ca ?? '', message: 'does not hold certificates in PEM' });
  if (tls.cert === undefined || tls.key === undefined) return problems;
  if (!holdsCertificates(tls.cert))
    return [...problems, { where: files.cert ?? '', message: 'does not hold certificates in PEM' }];
  try {
    createSecureContext({ cert: tls.cert, key: tls.key });
  } catch {
    problems.push({
      where: files.key ?? '',
      message: "is not the certificate's private key, in PEM and not encrypted",
    });
  }
  return problems;
}

function holdsCertificates(pem: string): boolean {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  // A block that has begun and not ended is half a file.
  const begun = pem.split('-----BEGIN CERTIFICATE-----').length - 1;
  try {
    return (
      blocks.length > 0 && blocks.length === begun && blocks.every((block) => new X509Certificate(block))
    );
  } catch {
    return false;
  }
}

function isSameTls(left: Credentials['tls'], right: Credentials['tls']): boolean {
  return left.cert === right.cert && left.key === right.key && left.ca === right.ca;
}
