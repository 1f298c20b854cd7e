import { z } from 'zod';
import { file } from './parts.ts';

const url = z
  .string()
  .regex(
    /^rediss?:\/\/[^@/?#]+(?:[/?#]|$)/,
    'must be redis:// or rediss:// with no user and no password (use password_file)',
  )
  .meta({ description: 'Redis URL, without password.' });

/** How to reach a Redis: keys of whatever is kept in one. */
export const redisServer = {
  url,
  password_file: file('File with the password.').optional(),
};
