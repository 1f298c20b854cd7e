import { capped } from './json-value.ts';

/**
 * A raw path without anything that carries parameters or credentials: cut at the first `?`, `#` or `;`, plain or percent
 * encoded (also twice), and without the userinfo of an absolute-form target. Absent where what is left is the canonical path.
 */
export function rawPath(raw: string, canonical: string | undefined, max: number): string | undefined {
  if (raw === canonical) return undefined;
  const end = raw.search(/[?#;]|%(?:25)*(?:3[BbFf]|23)/);
  const path = end === -1 ? raw : raw.slice(0, end);
  if (path === canonical) return undefined;
  return capped(path.startsWith('/') ? path : path.replace(/\/\/[^/]*@/, '//'), max);
}
