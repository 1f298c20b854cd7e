import type { Issuer } from '../token/issuer.ts';
import type { PartyMember, SubjectNames } from './subject-identifiers.ts';

/** Settings of {@link createSubjectNames}. */
export interface SubjectNamesOptions {
  /** `iss` of the transmitter: identifiers that name no issuer are its own. */
  readonly issuer: string;
  /** Our issuers of tokens. */
  readonly issuers: readonly Issuer[];
  /** Names of our issuers by the `iss` that identifiers hold, and of no others; empty: those of `issuers`. */
  readonly byIss: ReadonlyMap<string, string>;
  /** Names of our issuers for identifiers that hold none. */
  readonly defaults: Readonly<Partial<Record<PartyMember, string>>>;
  /** Whether workloads may be named, by their SPIFFE IDs. */
  readonly workloads: boolean;
  readonly critical: () => ReadonlySet<string>;
}

/** Tells which of our issuers the names in a stream are names of. Several of ours may share an `iss`: then each may be meant. */
export function createSubjectNames(options: SubjectNamesOptions): SubjectNames {
  const { issuer, issuers, byIss, defaults, workloads, critical } = options;
  const issuersOf = (iss: string, member: PartyMember): readonly string[] => {
    const named = byIss.get(iss);
    if (byIss.size > 0) return named === undefined ? [] : [named];
    const same = issuers.filter((one) => one.issuer === iss);
    return [...new Set(same.flatMap((one) => namesIn(one, member)))];
  };
  return {
    issuersOf,
    issuersFor(member) {
      // Sessions and tenants are those of users.
      const chosen = defaults[member] ?? (member === 'device' ? undefined : defaults.user);
      return chosen === undefined ? issuersOf(issuer, member) : [chosen];
    },
    workloads,
    critical,
  };
}

/** Ids of devices that come in a user's token are those of another issuer where the mapping says so. */
function namesIn({ name, use, claims }: Issuer, member: PartyMember): readonly string[] {
  if (member !== 'device') return use === 'user' ? [name] : [];
  if (use === 'device') return [name];
  return use === 'user' && claims.deviceId !== undefined ? [claims.deviceIssuer ?? name] : [];
}
