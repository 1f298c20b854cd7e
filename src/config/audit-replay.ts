import { z } from 'zod';

/** Continuous replay of what was just recorded. */
export const SelfReplay = z.strictObject({
  sample: z.number().min(0).max(1).default(0.001).meta({
    description:
      'Share of the records that are made again from the log, drawn by chance; a mismatch is an alarm. 0: none.',
  }),
  max_per_run: z
    .int()
    .min(1)
    .max(100_000)
    .default(200)
    .meta({ description: 'Records in one run at most: bounds what it costs.' }),
  interval_s: z.int().min(1).max(86_400).default(60).meta({ description: 'Pause between runs, in s.' }),
});
