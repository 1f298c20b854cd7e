import type { Random } from './random.ts';

/** A part of a message in a format of nested parts. */
export interface Node {
  /** What stands before the length or the value. */
  head: Buffer;
  /** The parts within, or else the bytes. */
  content: Node[] | Buffer;
}

/** Changes one to four parts of a message: their bytes, their heads, or their places. */
export function mutateTree(nodes: Node[], random: Random): void {
  for (let left = 1 << random.below(3); left > 0; left -= 1) {
    const lists = listsOf(nodes);
    const list = random.pick(lists);
    const all = lists.flat();
    if (all.length > 0) random.pick(CHANGES)(list, random, structuredCopy(random.pick(all)));
  }
}

type Change = (list: Node[], random: Random, donor: Node) => void;

const CHANGES: readonly Change[] = [
  (list, random) => void list.splice(random.below(list.length + 1), 1),
  (list, random, donor) => void list.splice(random.below(list.length + 1), 0, donor),
  (list, random, donor) => void list.splice(random.below(list.length + 1), 1, donor),
  (list, random, donor) => {
    const node = list[random.below(Math.max(1, list.length))];
    if (node) node.content = donor.content;
  },
  (list, random) => {
    const node = list[random.below(Math.max(1, list.length))];
    if (node) flip(node.head, random);
  },
  changeBytes,
  changeBytes,
  (list) => void list.reverse(),
];

function changeBytes(list: Node[], random: Random): void {
  const node = list.filter(({ content }) => !Array.isArray(content))[random.below(Math.max(1, list.length))];
  if (!node || Array.isArray(node.content)) return;
  const bytes = Buffer.from(node.content);
  const at = random.below(bytes.length + 1);
  switch (random.below(4)) {
    case 0:
      node.content = Buffer.concat([bytes.subarray(0, at), Buffer.of(random.below(256)), bytes.subarray(at)]);
      return;
    case 1:
      node.content = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(4))]);
      return;
    case 2:
      node.content = bytes.subarray(0, random.below(2));
      return;
    default:
      flip(bytes, random);
      node.content = bytes;
  }
}

function flip(bytes: Buffer, random: Random): void {
  const at = random.below(Math.max(1, bytes.length));
  if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
}

function listsOf(nodes: Node[]): Node[][] {
  return [nodes, ...nodes.flatMap(({ content }) => (Array.isArray(content) ? listsOf(content) : []))];
}

function structuredCopy({ head, content }: Node): Node {
  return { head: Buffer.from(head), content: Array.isArray(content) ? content.map(structuredCopy) : content };
}
