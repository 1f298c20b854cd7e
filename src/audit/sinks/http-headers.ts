import { readSecret } from './secret-file.ts';
import type { HttpTarget } from './sink-settings.ts';

/** The headers to send, with those whose values are in files, read now. Throws a `DeliveryError`. */
export function headersOf({ headers, headerFiles, tokenFile }: HttpTarget): Record<string, string> {
  const secret = headerFiles.map(({ header, file }): [string, string] => [header, readSecret(file)]);
  const bearer = tokenFile === undefined ? {} : { authorization: `Bearer ${readSecret(tokenFile)}` };
  return { ...headers, ...Object.fromEntries(secret), ...bearer };
}
