/** How it stands with a grant. `requested` and `approved` may still change; the others are final. */
export const GRANT_STATES = ['requested', 'approved', 'ended', 'revoked', 'denied', 'expired'] as const;

/** One of {@link GRANT_STATES}. */
export type GrantState = (typeof GRANT_STATES)[number];

/** What may be granted. */
export interface GrantScope {
  /** Short name; policies read it in `grants` and `break_glass` of the user. */
  readonly name: string;
  /** The longest that an ordinary grant may be, in ms. */
  readonly maxMs: number;
  /** The longest that it may be taken without approval, in ms; absent: it may not. */
  readonly breakGlassMaxMs?: number;
  /** Who may ask for it, and take it by breaking glass. */
  readonly requesters: GrantPeople & {
    /** Names of issuers: all their users. */
    readonly issuers: ReadonlySet<string>;
  };
  readonly approvers: GrantPeople;
  /** How many of them must approve. */
  readonly approvals: number;
}

/** Users, one by one and by group. */
export interface GrantPeople {
  /** `<issuer name>/<sub>`. */
  readonly users: ReadonlySet<string>;
  /** As policies name them: `<issuer name>/<group>` of a token, or the name that an information point gives. */
  readonly groups: ReadonlySet<string>;
}

/** Access of one user for a time, with a reason. Times are Unix ms. */
export interface Grant {
  /** UUIDv7. */
  readonly id: string;
  /** `<issuer name>/<sub>`. */
  readonly user: string;
  /** Who asked for it in the user's name (RFC 8693), as `<issuer name>/<sub>`. */
  readonly actors?: readonly string[];
  readonly scope: string;
  /** Taken in an emergency, without anybody's approval. */
  readonly breakGlass: boolean;
  readonly justification: string;
  readonly ticket?: string;
  readonly requestedAt: number;
  /** An approval that comes later does not count. */
  readonly approveBefore: number;
  readonly durationMs: number;
  readonly approvalsNeeded: number;
  /** The approvals that count, the first one first. */
  readonly approvals: readonly GrantApproval[];
  readonly state: GrantState;
  /** When it began, or the last approval that it needed was given. */
  readonly grantedAt?: number;
  /** When it ends by itself. */
  readonly expiresAt?: number;
  /** Of one that was denied or revoked. */
  readonly end?: GrantEnd;
}

/** One approval of a grant. */
export interface GrantApproval {
  readonly by: string;
  /** Who acted in their name (RFC 8693), as `<issuer name>/<sub>`. */
  readonly actors?: readonly string[];
  readonly at: number;
}

/** How somebody ended a grant, or a request for one. */
export interface GrantEnd {
  readonly state: 'denied' | 'revoked';
  readonly by: string;
  readonly at: number;
  readonly reason?: string;
}

/** Somebody who was proven to be a user, and what makes them one who may ask or approve at this moment. */
export interface GrantActor {
  /** `<issuer name>/<sub>`. */
  readonly id: string;
  /** As in {@link GrantPeople}. */
  readonly groups: ReadonlySet<string>;
  /** Who acts for the user (RFC 8693), as `<issuer name>/<sub>`. */
  readonly actors: readonly string[];
}

/** What somebody asks for. */
export interface GrantWish {
  readonly scope: string;
  /** In whole seconds. */
  readonly durationS: number;
  readonly justification: string;
  readonly ticket?: string;
  readonly breakGlass: boolean;
}

/** Why a change of the grant book is refused. `invalid`: it was asked wrongly; `conflict`: it cannot be as things stand. */
export interface GrantRefusal {
  readonly refused: 'invalid' | 'not_allowed' | 'unknown' | 'conflict' | 'too_many';
  /** For whoever asked. */
  readonly detail: string;
}

/** Which grants are wanted. */
export interface GrantFilter {
  /** Also those of others that the asker may approve. */
  readonly all: boolean;
  readonly user?: string;
  readonly state?: GrantState;
}

/** Grants, the newest first. */
export interface GrantList {
  readonly grants: readonly Grant[];
  /** There are more. */
  readonly truncated: boolean;
}

/**
 * The book of grants that all replicas share. A change is recorded before it is made; each rejects with `PdpError` `audit_unavailable` where that
 * cannot be, and with `state_unavailable` where the change may not have been taken.
 */
export interface GrantBook {
  /** Asks for a grant, or takes one by breaking glass. */
  request(by: GrantActor, wish: GrantWish): Promise<Grant | GrantRefusal>;
  approve(by: GrantActor, id: string): Promise<Grant | GrantRefusal>;
  /** Refuses a request. */
  deny(by: GrantActor, id: string, reason: string): Promise<Grant | GrantRefusal>;
  /** Ends a grant, or withdraws a request. */
  revoke(by: GrantActor, id: string, reason?: string): Promise<Grant | GrantRefusal>;
  /** Those that the asker may see: their own, and those of scopes whose approver they are. */
  list(by: GrantActor, filter: GrantFilter): GrantList;
}

/** Tells a refusal from a grant. */
export function isGrantRefusal(value: Grant | GrantRefusal): value is GrantRefusal {
  return 'refused' in value;
}
