import { readFile } from 'node:fs/promises';
import { InputError } from '../../pdp/errors.ts';
import { fileProblem } from '../polled-file.ts';

/** Where a Redis is, in one of three ways, and who we are to it. */
export interface RedisServer {
  /** One server: `redis://` or, for TLS, `rediss://`; a path is the number of the database. */
  readonly url?: string;
  /** The master of this name, as the sentinels say. TLS to them and to the master where their URLs are `rediss://`. */
  readonly sentinel?: {
    readonly urls: readonly string[];
    readonly master: string;
    /** File with the password of the sentinels. */
    readonly passwordFile?: string;
  };
  /** A cluster, by some of its nodes. */
  readonly cluster?: { readonly urls: readonly string[] };
  readonly username?: string;
  /** File with the password, its last line break left out; read again for each new connection. */
  readonly passwordFile?: string;
  /** For TLS: authorities of the server in PEM, instead of those that the machine trusts. */
  readonly caFile?: string;
  /** For TLS: certificate of ours in PEM, together with `keyFile`. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** A server by its parts. */
export interface RedisNode {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username?: string;
  readonly password?: string;
  readonly isTls: boolean;
}

/** What is read from files. */
export interface RedisSecrets {
  readonly password?: string;
  readonly sentinelPassword?: string;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

const DEFAULT_PORT = 6379;
const SENTINEL_PORT = 26_379;

/** The servers to begin with. Throws `InputError` for settings that are not right; of a URL nothing is repeated, it may hold a password. */
export function readNodes(name: string, { url, sentinel, cluster }: RedisServer): readonly RedisNode[] {
  const ways = [url, sentinel, cluster].filter((way) => way !== undefined);
  if (ways.length !== 1) throw settingsError(name, 'url', 'give one of url, sentinel and cluster');
  const where = url !== undefined ? 'url' : sentinel ? 'sentinel.urls' : 'cluster.urls';
  const port = sentinel ? SENTINEL_PORT : DEFAULT_PORT;
  const urls = url !== undefined ? [url] : (sentinel ?? cluster)?.urls;
  const nodes = (urls ?? []).map((text) => readNode(name, where, text, port));
  if (nodes.length === 0) throw settingsError(name, where, 'names no server');
  if (nodes.some(({ isTls }) => isTls !== nodes[0]?.isTls))
    throw settingsError(name, where, 'are partly redis:// and partly rediss://');
  if (cluster && nodes.some(({ db }) => db !== 0))
    throw settingsError(name, where, 'name a database, which a cluster does not have');
  return nodes;
}

function readNode(name: string, where: string, text: string, defaultPort: number): RedisNode {
  const url = URL.parse(text);
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? '')?.[1];
  if (
    url === null ||
    !['redis:', 'rediss:'].includes(url.protocol) ||
    url.hostname === '' ||
    database === undefined
  ) {
    throw settingsError(name, where, 'is not of the form redis://host:port/database or rediss://…');
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? defaultPort : Number(url.port),
    db: Number(database),
    isTls: url.protocol === 'rediss:',
    ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
  };
}

/** Reads passwords and certificates from their files. Throws `InputError` for a file that cannot be read. */
export async function readSecrets(name: string, server: RedisServer): Promise<RedisSecrets> {
  const text = async (path: string | undefined, where: string): Promise<string | undefined> => {
    if (path === undefined) return undefined;
    return await readFile(path, 'utf8').catch((error: unknown) => {
      throw settingsError(name, where, fileProblem(error));
    });
  };
  const password = lineOf(await text(server.passwordFile, 'passwordFile'));
  const sentinelPassword = lineOf(await text(server.sentinel?.passwordFile, 'sentinel.passwordFile'));
  const ca = await text(server.caFile, 'caFile');
  const cert = await text(server.certFile, 'certFile');
  const key = await text(server.keyFile, 'keyFile');
  return {
    ...(password !== undefined && { password }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    tls: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    },
  };
}

function lineOf(text: string | undefined): string | undefined {
  return text?.replace(/\r?\n$/, '');
}

function settingsError(name: string, where: string, message: string): InputError {
  return new InputError(`the Redis of '${name}' is not configured well`, [{ where, message }]);
}
