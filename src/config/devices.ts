import { z } from 'zod';
import { headerName, name } from './parts.ts';

const seconds = z.int().min(1).max(31_536_000);

/** `devices`. */
export const Devices = z.strictObject({
  assertion_header: headerName
    .default('x-device-assertion')
    .meta({ description: 'Header with a signed posture assertion.' }),
  require_binding: z.boolean().default(false).meta({
    description:
      "Refuse assertions that are not bound (`cnf`) to the certificate of the source or to the key of the user's token. An assertion without a binding is good for whoever holds it until it expires.",
  }),
  max_posture_age_s: seconds
    .default(86_400)
    .meta({ description: 'Oldest posture that is taken from an assertion. In s.' }),
  max_posture_age_s_by_issuer: z
    .record(name, seconds)
    .default({})
    .meta({ description: 'The same for single issuers of assertions, by their names.' }),
});
