import { z } from 'zod';

/** A short name in the configuration. */
export const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be lower-case letters, digits, - and _');

/** Where a surface listens. */
export const address = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port');

/** A path; relative ones are made absolute. */
export const file = (description: string) => z.string().min(1).meta({ description, format: 'path' });

/** A time in ms. */
export const ms = (fallback: number, description: string) =>
  z
    .int()
    .min(0)
    .default(fallback)
    .meta({ description: `${description} In ms.` });
