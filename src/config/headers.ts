import type { z } from 'zod';
import type { Devices } from './devices.ts';
import type { Issuer } from './identity.ts';
import type { OnwardIdentity } from './onward.ts';
import type { Workloads } from './workloads.ts';
import { ISSUER_PRESETS } from '../pip/token/issuer-presets.ts';

/** The parts of the configuration that name headers. */
export interface HeaderSettings {
  readonly issuers: readonly z.output<typeof Issuer>[];
  readonly devices: z.output<typeof Devices>;
  readonly workloads: z.output<typeof Workloads>;
  readonly onward_identity?: z.output<typeof OnwardIdentity> | undefined;
}

/** A header that is read or written, by whom, and the setting that says so. */
interface HeaderUse {
  readonly header: string;
  readonly who: string;
  readonly path: readonly PropertyKey[];
}

const AUTHORIZATION = 'authorization';
const USERS = 'user tokens';
const JWT_SVIDS = 'JWT-SVIDs';

/** Adds an issue for each setting whose header carries something else already: what is in it would be taken for the wrong thing. */
export function checkHeaders(config: HeaderSettings, context: z.core.$RefinementCtx): void {
  const uses = headerUses(config);
  for (const [index, later] of uses.entries()) {
    const earlier = uses.slice(0, index).find(({ header }) => header === later.header);
    if (earlier === undefined || mayShare(earlier, later)) continue;
    const message = `'${later.header}' carries ${earlier.who} already; choose a header of its own`;
    context.addIssue({ code: 'custom', path: [...later.path], message });
  }
}

/** Issuers of users share a header, told apart by `iss`; a bearer token whose `sub` is a SPIFFE ID is a workload's. */
function mayShare(earlier: HeaderUse, later: HeaderUse): boolean {
  if (earlier.who !== USERS) return false;
  return later.who === USERS || (later.header === AUTHORIZATION && later.who === JWT_SVIDS);
}

/** Every header with its first use first: those of users cannot be chosen freely. */
function headerUses({ issuers, devices, workloads, onward_identity: onward }: HeaderSettings): HeaderUse[] {
  const { xfcc, client_cert: clientCert, jwt_svid: jwtSvid, kubernetes_token: kubernetes } = workloads;
  const hasCluster = issuers.some((issuer) => issuer.use === 'workload');
  const uses = [
    use(AUTHORIZATION, USERS),
    use('dpop', 'DPoP proofs'),
    ...issuers.map(userHeader),
    xfcc && use('x-forwarded-client-cert', 'certificates', 'workloads', 'xfcc'),
    clientCert && use('client-cert', 'certificates', 'workloads', 'client_cert'),
    use(devices.assertion_header, 'device assertions', 'devices', 'assertion_header'),
    jwtSvid && use(jwtSvid.header, JWT_SVIDS, 'workloads', 'jwt_svid', 'header'),
    hasCluster
      ? use(kubernetes.header, 'service account tokens', 'workloads', 'kubernetes_token', 'header')
      : undefined,
    onward && use(onward.header, 'the onward identity', 'onward_identity', 'header'),
  ];
  return uses.filter((one) => one !== undefined);
}

function userHeader(issuer: z.output<typeof Issuer>, index: number): HeaderUse | undefined {
  if (issuer.use !== 'user') return undefined;
  const usual = issuer.preset === undefined ? AUTHORIZATION : ISSUER_PRESETS[issuer.preset].header;
  return use(issuer.header ?? usual, USERS, 'issuers', index, 'header');
}

function use(header: string, who: string, ...path: PropertyKey[]): HeaderUse {
  return { header, who, path };
}
