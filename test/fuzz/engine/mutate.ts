import type { Random } from './random.ts';

/** What mutations draw from. */
export interface Material {
  readonly random: Random;
  readonly dictionary: readonly Uint8Array[];
  /** Another input of the corpus. */
  readonly other: () => Uint8Array;
  readonly maxBytes: number;
}

type Mutation = (input: Buffer, material: Material) => Uint8Array;

const TELLING = [0x00, 0x01, 0x09, 0x0a, 0x20, 0x22, 0x25, 0x2c, 0x2f, 0x3d, 0x5c, 0x7f, 0x80, 0xc0, 0xff];

/** Makes another input of this one: from one to eight mutations in a row, rather few than many. */
export function mutate(input: Uint8Array, material: Material): Uint8Array {
  const { random, maxBytes } = material;
  let result: Uint8Array = input;
  for (let left = 1 << random.below(4); left > 0; left -= 1)
    result = random.pick(MUTATIONS)(Buffer.from(result), material).subarray(0, maxBytes);
  return result;
}

const flipBit: Mutation = (input, { random }) =>
  change(input, random, (byte) => byte ^ (1 << random.below(8)));
const setByte: Mutation = (input, { random }) => change(input, random, () => random.below(256));
const setTelling: Mutation = (input, { random }) => change(input, random, () => random.pick(TELLING));
const addToByte: Mutation = (input, { random }) =>
  change(input, random, (byte) => byte + random.below(33) - 16);

const insertByte: Mutation = (input, { random }) =>
  insert(input, random, Buffer.of(random.below(3) === 0 ? random.pick(TELLING) : 0x20 + random.below(95)));
const insertRun: Mutation = (input, { random }) =>
  insert(input, random, Buffer.alloc(1 << random.below(9), random.below(256)));
const insertWord: Mutation = (input, { random, dictionary }) =>
  dictionary.length === 0 ? input : insert(input, random, random.pick(dictionary));

const overwriteWord: Mutation = (input, { random, dictionary }) => {
  if (dictionary.length === 0) return input;
  const word = random.pick(dictionary);
  const at = random.below(input.length + 1);
  return Buffer.concat([input.subarray(0, at), word, input.subarray(at + word.length)]);
};

const removeBlock: Mutation = (input, { random }) => {
  const [start, end] = block(input, random);
  return Buffer.concat([input.subarray(0, start), input.subarray(end)]);
};

const repeatBlock: Mutation = (input, { random }) => {
  const [start, end] = block(input, random);
  const times = 1 + random.below(random.below(8) === 0 ? 40 : 2);
  const copies = Array.from({ length: times }, () => input.subarray(start, end));
  return Buffer.concat([input.subarray(0, end), ...copies, input.subarray(end)]);
};

const moveBlock: Mutation = (input, { random }) => {
  const [start, end] = block(input, random);
  const rest = Buffer.concat([input.subarray(0, start), input.subarray(end)]);
  return insert(rest, random, input.subarray(start, end));
};

const cross: Mutation = (input, { random, other }) => {
  const partner = Buffer.from(other());
  return Buffer.concat([
    input.subarray(0, random.below(input.length + 1)),
    partner.subarray(random.below(partner.length + 1)),
  ]);
};

const insertOfOther: Mutation = (input, { random, other }) => {
  const partner = Buffer.from(other());
  return insert(input, random, partner.subarray(...block(partner, random)));
};

const swapCase: Mutation = (input, { random }) =>
  change(input, random, (byte) => (/[A-Za-z]/.test(String.fromCharCode(byte)) ? byte ^ 0x20 : byte));

const escapeByte: Mutation = (input, { random }) => {
  if (input.length === 0) return input;
  const at = random.below(input.length);
  const hex = (input[at] ?? 0).toString(16).padStart(2, '0');
  const escape = Buffer.from(`%${random.below(2) === 0 ? hex : hex.toUpperCase()}`);
  return Buffer.concat([input.subarray(0, at), escape, input.subarray(at + 1)]);
};

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setTelling,
  addToByte,
  insertByte,
  insertRun,
  insertWord,
  insertWord,
  overwriteWord,
  removeBlock,
  removeBlock,
  repeatBlock,
  moveBlock,
  cross,
  insertOfOther,
  swapCase,
  escapeByte,
];

function change(input: Buffer, random: Random, to: (byte: number) => number): Buffer {
  if (input.length === 0) return input;
  const at = random.below(input.length);
  input[at] = to(input[at] ?? 0) & 0xff;
  return input;
}

function insert(input: Buffer, random: Random, bytes: Uint8Array): Buffer {
  const at = random.below(input.length + 1);
  return Buffer.concat([input.subarray(0, at), bytes, input.subarray(at)]);
}

function block(input: Uint8Array, random: Random): [start: number, end: number] {
  const start = random.below(input.length + 1);
  const longest = random.below(2) === 0 ? 8 : input.length;
  return [start, Math.min(input.length, start + 1 + random.below(longest + 1))];
}
