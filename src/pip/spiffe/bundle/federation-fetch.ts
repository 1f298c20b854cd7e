import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { type ConnectionOptions, type PeerCertificate, type TLSSocket, connect } from 'node:tls';
import { readBounded, utf8Text } from '../../../pdp/bounded-fetch.ts';
import { type TrustBundle, isSvidProblem } from '../../../pdp/x509-svid.ts';
import { createSvidVerifier } from '../x509/verify-svid.ts';

/** How the server of a bundle endpoint is authenticated (SPIFFE Federation §5.2). */
export type EndpointAuthentication =
  /** By web PKI. `ca`: the CAs in PEM; absent: those of the runtime, with what NODE_EXTRA_CA_CERTS adds. */
  | { readonly ca?: string }
  /** By the SPIFFE ID of its X.509-SVID, in the light of the bundle of that ID's trust domain. */
  | { readonly spiffeId: string; readonly bundle: TrustBundle };

const MAX_BYTES = 1_048_576;
const MAX_CHAIN = 10;

/**
 * Gets the text of a bundle endpoint whose server was authenticated; nothing is sent to one that was not. No redirects, status 200
 * only, 1 MiB at most. Rejects with an `Error` in an operator's words.
 */
export async function fetchBundle(
  url: URL,
  authentication: EndpointAuthentication,
  now: number,
  timeoutMs: number,
): Promise<string> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const socket = connect({ ...tlsOptions(url), ...trustOptions(authentication) });
  // Whoever awaits the socket at the time hears of an error; one that comes at another time is nobody's.
  socket.on('error', () => undefined);
  const abort = (): void => void socket.destroy(new Error(`did not answer within ${timeoutMs} ms`));
  timeout.addEventListener('abort', abort, { once: true });
  try {
    await once(socket, 'secureConnect');
    if ('spiffeId' in authentication) assertServer(socket, authentication, now);
    return await textOf(await get(url, socket));
  } finally {
    timeout.removeEventListener('abort', abort);
    socket.destroy();
  }
}

function tlsOptions(url: URL): ConnectionOptions {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? 443 : Number(url.port);
  return { host, port, ALPNProtocols: ['http/1.1'], ...(isIP(host) === 0 && { servername: host }) };
}

function trustOptions(authentication: EndpointAuthentication): ConnectionOptions {
  if (!('spiffeId' in authentication))
    return authentication.ca === undefined ? {} : { ca: authentication.ca };
  return {
    // OpenSSL looks at the chain too, but only our own verification, once connected, knows SPIFFE IDs; the host's name means nothing.
    ca: authentication.bundle.x509Authorities.map(String),
    allowPartialTrustChain: true,
    checkServerIdentity: () => undefined,
  };
}

function assertServer(
  socket: TLSSocket,
  { spiffeId, bundle }: { readonly spiffeId: string; readonly bundle: TrustBundle },
  now: number,
): void {
  const bundles = new Map([[bundle.trustDomain, bundle]]);
  const verified = createSvidVerifier(() => bundles, { purposes: ['server'] })(chainOf(socket), now);
  if (isSvidProblem(verified)) throw new Error(`the server has no valid X.509-SVID: ${verified.problem}`);
  if (verified.identity.id !== spiffeId)
    throw new Error(`the server is ${verified.identity.id}, not the configured ${spiffeId}`);
}

function chainOf(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  let certificate: PeerCertificate | undefined = socket.getPeerCertificate(true);
  // A self-signed certificate is its own issuer.
  while (certificate?.raw !== undefined && chain.length < MAX_CHAIN) {
    chain.push(certificate.raw);
    const next: PeerCertificate | undefined =
      'issuerCertificate' in certificate ? issuerOf(certificate) : undefined;
    certificate = next?.fingerprint256 === certificate.fingerprint256 ? undefined : next;
  }
  return chain;
}

function issuerOf(certificate: object): PeerCertificate | undefined {
  return (certificate as { readonly issuerCertificate?: PeerCertificate }).issuerCertificate;
}

async function get(url: URL, socket: TLSSocket): Promise<IncomingMessage> {
  const asked = request({
    createConnection: () => socket,
    path: `${url.pathname}${url.search}`,
    headers: { host: url.host, accept: 'application/json', connection: 'close' },
  });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const status = response.statusCode ?? 0;
  if (status === 200) return response;
  const redirect = status >= 300 && status < 400 ? '; redirects are not followed' : '';
  throw new Error(`answered with status ${status}${redirect}`);
}

async function textOf(response: IncomingMessage): Promise<string> {
  const bytes = await readBounded(response as AsyncIterable<Buffer>, MAX_BYTES);
  if (!response.complete) throw new Error('ended before the answer did');
  return utf8Text(bytes);
}
