import { z } from 'zod';
import { file } from './parts.ts';

/** What has pseudonyms: users, devices, or what an application's own entity types name. */
const kind = z
  .string()
  .regex(
    /^(?:user|device|(?!ZeroTrust::)[A-Za-z_]\w{0,63}(?:::[A-Za-z_]\w{0,63}){1,7})$/,
    'must be `user`, `device`, or an entity type of the application such as `Clinic::Patient`',
  );

/** Names in the decision log. */
export const AuditPrivacy = z.strictObject({
  key_file: file(
    'Key of the pseudonyms: 32 random bytes or more, readable by the owner only; made where it is not there. Replicas share it. Keep it apart from the log: whoever has both can test names.',
  ).default('.pdp/audit-privacy.key'),
  key_epoch: z.int().min(1).max(1_000_000).default(1).meta({
    description: 'Number of the key, in every record: count it up with each new key.',
  }),
  pseudonymise: z.array(kind).min(1).max(64).default(['user', 'device']).meta({
    description:
      'Whose names are pseudonyms in the lines, and whose data can be erased: `user` (with email, session and token), `device`, and entity types.',
  }),
});
