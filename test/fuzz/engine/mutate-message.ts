import { type Node, mutateTree } from './mutate-tree.ts';
import type { Random } from './random.ts';

const MAX_DEPTH = 16;

/** Changes fields of a protobuf message and writes the lengths anew. Whatever can be read as a message is taken for one. */
export function mutateMessage(input: Uint8Array, random: Random): Uint8Array {
  const nodes = read(Buffer.from(input), 0);
  if (!nodes) return input;
  mutateTree(nodes, random);
  return write(nodes);
}

const FIXED: Readonly<Record<number, number>> = { 1: 8, 5: 4 };
const LENGTH_DELIMITED = 2;

function read(bytes: Buffer, depth: number): Node[] | undefined {
  const nodes: Node[] = [];
  for (let at = 0; at < bytes.length;) {
    const key = varintEnd(bytes, at);
    const kind = (bytes[at] ?? 0) & 7;
    const value = key === undefined ? undefined : valueAt(bytes, key, kind);
    if (key === undefined || value === undefined) return undefined;
    const content = bytes.subarray(value.start, value.end);
    const mayOpen = kind === LENGTH_DELIMITED && depth < MAX_DEPTH && content.length > 1;
    nodes.push({
      head: bytes.subarray(at, key),
      content: (mayOpen ? read(content, depth + 1) : undefined) ?? content,
    });
    at = value.end;
  }
  return nodes;
}

function valueAt(bytes: Buffer, at: number, kind: number): { start: number; end: number } | undefined {
  const fixed = FIXED[kind];
  const end = fixed === undefined ? varintEnd(bytes, at) : at + fixed;
  if (end === undefined || end > bytes.length || ![0, 1, LENGTH_DELIMITED, 5].includes(kind))
    return undefined;
  if (kind !== LENGTH_DELIMITED) return { start: at, end };
  const length = bytes.subarray(at, end).reduceRight((sum, byte) => sum * 128 + (byte & 0x7f), 0);
  return end + length > bytes.length ? undefined : { start: end, end: end + length };
}

function varintEnd(bytes: Buffer, at: number): number | undefined {
  let end = at;
  while (end < bytes.length && (bytes[end] ?? 0) >= 0x80) end += 1;
  return end < bytes.length && end - at < 5 ? end + 1 : undefined;
}

function write(nodes: readonly Node[]): Buffer {
  return Buffer.concat(
    nodes.flatMap(({ head, content }) => {
      const bytes = Array.isArray(content) ? write(content) : content;
      const isDelimited = ((head[0] ?? 0) & 7) === LENGTH_DELIMITED;
      return isDelimited ? [head, varint(bytes.length), bytes] : [head, bytes];
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    bytes.push(left < 0x80 ? left : (left & 0x7f) | 0x80);
    if (left < 0x80) return Buffer.from(bytes);
  }
}
