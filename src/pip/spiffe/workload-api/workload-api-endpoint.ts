import { isIPv4, isIPv6 } from 'node:net';
import { InputError } from '../../../pdp/errors.ts';

/** Environment variable that names the endpoint where configuration does not (SPIFFE Workload Endpoint §4). */
const ENDPOINT_VARIABLE = 'SPIFFE_ENDPOINT_SOCKET';

const UNIX = 'unix://';
const TCP = 'tcp://';

/**
 * The address of the Workload API: what is configured, else what the environment names. Throws `InputError` where neither does, or
 * where the address is not of one of the two allowed forms.
 */
export function findWorkloadApiEndpoint(
  configured: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const endpoint = configured ?? environment[ENDPOINT_VARIABLE];
  const where = configured === undefined ? ENDPOINT_VARIABLE : 'endpoint';
  const message =
    endpoint === undefined ? 'is not set, and no endpoint is configured' : endpointProblem(endpoint);
  if (endpoint !== undefined && message === undefined) return endpoint;
  throw new InputError('the SPIFFE Workload API cannot be reached', [{ where, message: message ?? '' }]);
}

/** Why this is not the address of a Workload API endpoint (SPIFFE Workload Endpoint §4), in words; `undefined` where it is. */
export function endpointProblem(endpoint: string): string | undefined {
  if (endpoint.startsWith(UNIX)) return unixProblem(endpoint.slice(UNIX.length));
  if (endpoint.startsWith(TCP)) return tcpProblem(endpoint.slice(TCP.length));
  return endpoint.startsWith('unix:')
    ? "needs an absolute path after 'unix://': unix:///path/to/socket"
    : 'is neither unix:///path/to/socket nor tcp://IP:port';
}

function unixProblem(path: string): string | undefined {
  if (!path.startsWith('/')) return 'must be unix:///path/to/socket: an absolute path, and no host';
  if (path === '/') return 'names no socket';
  // Nothing is decoded, so what would be a query, a fragment or an escape is refused rather than read in one of two ways.
  return /[?#%\s\0]/.test(path) ? 'may hold no query, no fragment, no escape and no space' : undefined;
}

function tcpProblem(authority: string): string | undefined {
  if (/[/?#@]/.test(authority)) return 'must be tcp://IP:port and nothing more';
  const { ip, port } = splitAuthority(authority);
  if (!isIPv4(ip) && !isIPv6(ip)) return 'must name an IP address (IPv6 in brackets), not a host name';
  return /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535 ? undefined : 'must name a port, 1 to 65535';
}

function splitAuthority(authority: string): { readonly ip: string; readonly port: string } {
  const [, v6, v4 = '', port = ''] = /^(?:\[([^\]%]*)\]|([^:]*)):(.*)$/.exec(authority) ?? [];
  return { ip: v6 === undefined ? (isIPv4(v4) ? v4 : '') : isIPv6(v6) ? v6 : '', port };
}

/** The endpoint in the form in which gRPC takes it. Only for one that {@link endpointProblem} finds right. */
export function grpcTarget(endpoint: string): string {
  if (endpoint.startsWith(UNIX)) return endpoint;
  const authority = endpoint.slice(TCP.length);
  return authority.startsWith('[') ? `ipv6:${authority}` : `ipv4:${authority}`;
}
