import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

/** Writes a generated file, formatted as the repository's check wants every file to be. */
export async function writeFormatted(path: string, text: string): Promise<void> {
  const settings = await resolveConfig(fileURLToPath(import.meta.url));
  writeFileSync(path, await format(text, { ...settings, filepath: path }));
}
