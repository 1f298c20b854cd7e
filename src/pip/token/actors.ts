import { type Refusal, refuse } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';

/** Longest chain of actors that is taken. */
const MAX_ACTORS = 8;

/** Name of the issuer of ours whose tokens hold this `iss`; `undefined` where there is none. */
export type IssuerNames = (iss: string) => string | undefined;

/**
 * Reads the `act` chain (RFC 8693 §4.1), the current actor first, each as `<issuer name>/<sub>`. An actor without `iss` is of the token's own
 * issuer, `own`. What is malformed, longer than 8, or names an issuer that is not ours is `token_claims_refused`: a policy that
 * speaks of actors must not see half of them.
 */
export function readActors(act: unknown, own: string, names: IssuerNames): readonly string[] | Refusal {
  const actors: string[] = [];
  for (let next = act; next !== undefined;) {
    if (actors.length === MAX_ACTORS) return refused(`holds more than ${MAX_ACTORS} actors`);
    if (!isRecord(next)) return refused('is not an object');
    const { sub, iss, act: further } = next;
    if (typeof sub !== 'string' || !/^[ -~]{1,255}$/.test(sub))
      return refused("holds an actor whose 'sub' is not 1 to 255 printable ASCII characters");
    const issuer = iss === undefined ? own : typeof iss === 'string' ? names(iss) : undefined;
    if (issuer === undefined) return refused('holds an actor of an issuer that is not configured');
    actors.push(`${issuer}/${sub}`);
    next = further;
  }
  return actors;
}

function refused(problem: string): Refusal {
  return refuse('token_claims_refused', `'act' ${problem}`);
}
