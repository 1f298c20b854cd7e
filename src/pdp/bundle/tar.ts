import { BUNDLE_LIMITS, printablePath, refusal } from './policy-path.ts';

/** A regular file in an archive. */
export interface TarEntry {
  readonly path: string;
  readonly content: Buffer;
}

const BLOCK = 512;
const MAGIC = 'ustar\x0000';
const KINDS: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a character device',
  '4': 'a block device',
  '5': 'a folder',
  '6': 'a FIFO',
  L: 'a GNU long name',
  K: 'a GNU long link name',
  x: 'a pax header',
  g: 'a pax header',
};

/**
 * Writes a POSIX ustar archive of regular files (IEEE Std 1003.1 pax, "ustar Interchange Format"). Owner, mode and time are fixed,
 * so equal entries give equal bytes. Throws `TypeError` for a path that the `name` field cannot hold.
 */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(({ path, content }) => [
    headerOf(path, content.length),
    content,
    Buffer.alloc(paddingAfter(content.length)),
  ]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function headerOf(path: string, size: number): Buffer {
  if (path.length > BUNDLE_LIMITS.pathLength) throw new TypeError('the path is too long for a ustar header');
  const header = Buffer.alloc(BLOCK);
  header.write(path, 0, 'latin1');
  header.write(`0000644\0${'0000000\0'.repeat(2)}`, 100, 'latin1');
  header.write(`${size.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0`, 124, 'latin1');
  header.write('0', 156, 'latin1');
  header.write(MAGIC, 257, 'latin1');
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/**
 * Reads a POSIX ustar archive that holds regular files and nothing else: links, folders, devices, extension headers, a second entry
 * of the same path, bytes in the padding or after the end are refused. Paths are not judged here. Contents are views of `tar`.
 *
 * Our own and not a library's: libraries are made to forgive what must be refused here, and the part of the format that is left is small.
 *
 * Throws `InputError` naming the entry.
 */
export function readTar(tar: Buffer): TarEntry[] {
  const entries = new Map<string, TarEntry>();
  for (let at = 0; at + BLOCK <= tar.length;) {
    const header = tar.subarray(at, at + BLOCK);
    if (isZero(header)) {
      assertEnd(tar.subarray(at));
      return [...entries.values()];
    }
    const { path, size } = readHeader(header, at);
    if (entries.has(path)) throw refused(path, 'is in the archive twice');
    if (entries.size === BUNDLE_LIMITS.files)
      throw refused(path, `is one more than the ${BUNDLE_LIMITS.files} files a bundle may hold`);
    const start = at + BLOCK;
    at = start + size + paddingAfter(size);
    if (at > tar.length) throw refused(path, 'is cut off');
    if (!isZero(tar.subarray(start + size, at)))
      throw refused(path, 'is followed by bytes where padding belongs');
    entries.set(path, { path, content: tar.subarray(start, start + size) });
  }
  throw refused('archive', 'ends without an end marker');
}

function readHeader(header: Buffer, at: number): { readonly path: string; readonly size: number } {
  if (octal(header, 148, 8) !== checksumOf(header))
    throw refused('archive', `has no valid header at byte ${at} (the checksum does not fit)`);
  const path = field(header, 0, 100);
  if (path === undefined) throw refused('archive', `has bytes after the name of the entry at byte ${at}`);
  const kind = String.fromCharCode(header[156] ?? 0);
  if (kind !== '0' && kind !== '\0')
    throw refused(path, `is ${KINDS[kind] ?? 'not a regular file'}; a bundle holds regular files only`);
  if (header.toString('latin1', 257, 265) !== MAGIC) throw refused(path, 'is not in the POSIX ustar format');
  if (field(header, 157, 100) !== '') throw refused(path, 'has a link target');
  if (field(header, 345, 155) !== '')
    throw refused(path, `has a path of more than ${BUNDLE_LIMITS.pathLength} characters`);
  const size = octal(header, 124, 12);
  if (size === undefined) throw refused(path, 'has no valid size');
  return { path, size };
}

/** A NUL-padded field; `undefined` where bytes follow the first NUL. */
function field(header: Buffer, start: number, length: number): string | undefined {
  return /^([^\0]*)\0*$/.exec(header.toString('latin1', start, start + length))?.[1];
}

function octal(header: Buffer, start: number, length: number): number | undefined {
  const digits = /^([0-7]+)[\0 ]*$/.exec(header.toString('latin1', start, start + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

/** Sum of the header's bytes, with the checksum field taken as spaces. */
function checksumOf(header: Buffer): number {
  let sum = 0;
  for (let index = 0; index < BLOCK; index += 1)
    sum += index >= 148 && index < 156 ? 0x20 : (header[index] ?? 0);
  return sum;
}

function assertEnd(rest: Buffer): void {
  if (rest.length < 2 * BLOCK || rest.length % BLOCK !== 0)
    throw refused('archive', 'has a cut-off end marker');
  if (!isZero(rest)) throw refused('archive', 'goes on after its end marker');
}

function paddingAfter(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(Buffer.alloc(bytes.length));
}

function refused(path: string, message: string) {
  return refusal({ where: printablePath(path), message });
}
