import { readFileSync } from 'node:fs';
import { DeliveryError } from './sink.ts';
import type { TlsFiles } from './sink-settings.ts';

const MOST = 65_536;

/** The text of a file without surrounding white space. Throws a `DeliveryError` that names the file where it cannot be read. */
export function readSecret(path: string): string {
  return readText(path).trim();
}

/** What TLS needs, read now. Throws a `DeliveryError`. */
export function readTls({ caFile, certFile, keyFile }: TlsFiles): {
  ca?: string;
  cert?: string;
  key?: string;
} {
  return {
    ...(caFile !== undefined && { ca: readText(caFile) }),
    ...(certFile !== undefined && { cert: readText(certFile) }),
    ...(keyFile !== undefined && { key: readText(keyFile) }),
  };
}

function readText(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new DeliveryError('refused', 'a file of the configuration cannot be read', { cause });
  }
  if (text.trim() === '' || text.length > MOST)
    throw new DeliveryError('refused', `${path} is empty or longer than ${MOST} bytes`);
  return text;
}
