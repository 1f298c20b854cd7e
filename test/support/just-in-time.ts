import { join } from 'node:path';
import { POLICIES } from './snapshot.ts';
import type { TestIssuer } from './tokens.ts';

/** The policies of scenario 6, with `staff` as their users: keys in `jwks.json` and groups in `directory.json` of a folder. */
export function justInTimeConfig(issuer: TestIssuer, folder: string): Record<string, unknown> {
  return {
    policies: { sets: [join(POLICIES, 'just-in-time')] },
    issuers: [
      {
        name: 'staff',
        issuer: issuer.issuer,
        audiences: [issuer.audience],
        algorithms: ['ES256'],
        jwks: { file: join(folder, 'jwks.json') },
      },
    ],
    pips: [
      {
        name: 'directory',
        kind: 'static_file',
        subject: 'user',
        gives: ['groups'],
        file: join(folder, 'directory.json'),
      },
    ],
  };
}
