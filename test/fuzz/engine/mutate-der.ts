import { type Node, mutateTree } from './mutate-tree.ts';
import type { Random } from './random.ts';

const MAX_DEPTH = 16;

/** Changes elements of DER and writes their lengths anew. Octet strings are looked into where they hold DER. */
export function mutateDer(input: Uint8Array, random: Random): Uint8Array {
  const nodes = read(Buffer.from(input), 0);
  if (!nodes) return input;
  mutateTree(nodes, random);
  return write(nodes);
}

const OCTET_STRING = 0x04;
const CONSTRUCTED = 0x20;

function read(bytes: Buffer, depth: number): Node[] | undefined {
  const nodes: Node[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1] ?? 0xff;
    const size = first < 0x80 ? 0 : first & 0x7f;
    const start = at + 2 + size;
    if (size > 3 || start > bytes.length) return undefined;
    const end = start + (size === 0 ? first : bytes.readUIntBE(at + 2, size));
    if (end > bytes.length) return undefined;
    const content = bytes.subarray(start, end);
    const isOpen = (tag & CONSTRUCTED) !== 0 || tag === OCTET_STRING;
    const within = isOpen && depth < MAX_DEPTH ? read(content, depth + 1) : undefined;
    nodes.push({ head: Buffer.of(tag), content: within ?? content });
    at = end;
  }
  return nodes;
}

function write(nodes: readonly Node[]): Buffer {
  return Buffer.concat(
    nodes.flatMap(({ head, content }) => {
      const bytes = Array.isArray(content) ? write(content) : content;
      return [head, lengthOf(bytes.length), bytes];
    }),
  );
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  return length < 0x100 ? Buffer.of(0x81, length) : Buffer.of(0x82, length >> 8, length & 0xff);
}
