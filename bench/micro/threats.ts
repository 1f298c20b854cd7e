// Prints how long threat lists of a million entries take to load, how much memory they take, and what a lookup costs.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type EntrySet, type ThreatSubject, readEntrySet } from '../../src/pip/threats/entry-set.ts';
import { createSlices } from '../../src/pip/threats/slices.ts';
import { describeMachine } from '../load/report.ts';

interface Kind {
  readonly title: string;
  readonly subject: ThreatSubject;
  /** An entry, and a subject that it names. */
  readonly entry: (random: () => number) => readonly [string, string];
  /** A subject that hardly any list names. */
  readonly stranger: (random: () => number) => string;
}

const ENTRIES = 1_000_000;
const LOOKUPS = 1_000_000;
const SUBJECTS = 100_000;
const hex = (value: number): string => value.toString(16);

const KINDS: readonly Kind[] = [
  {
    title: 'IPv4 addresses',
    subject: 'ip',
    entry: (random) => twice(dotted(random() >>> 1)),
    stranger: (random) => dotted((random() | 0x80000000) >>> 0),
  },
  {
    title: 'IPv6 prefixes',
    subject: 'ip',
    entry(random) {
      const prefix = `2001:db8:${hex(random() & 0xffff)}:${hex(random() & 0xffff)}`;
      return [`${prefix}::/64`, `${prefix}::1`];
    },
    stranger: (random) => `2001:db9:${hex(random() & 0xffff)}:${hex(random() & 0xffff)}::1`,
  },
  {
    title: 'SPIFFE IDs and one path',
    subject: 'workload',
    entry: (random) => twice(`spiffe://prod.example.com/ns/n${random() % 1_000}/sa/s${random()}`),
    stranger: (random) => `spiffe://prod.example.com/ns/m${random() % 1_000}/sa/s${random()}`,
  },
  {
    title: 'user ids',
    subject: 'user',
    entry: (random) => twice(`corp/${hex(random())}-${hex(random())}`),
    stranger: (random) => `other/${hex(random())}-${hex(random())}`,
  },
];

function twice(text: string): readonly [string, string] {
  return [text, text];
}

function dotted(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** Marsaglia's xorshift32, from one seed: every run measures the same lists. */
function generator(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    return state;
  };
}

async function measure({ title, subject, entry, stranger }: Kind): Promise<string> {
  const random = generator();
  const listed: string[] = [];
  const lines: string[] = subject === 'workload' ? ['spiffe://retired.example.com/ns/old/*'] : [];
  while (lines.length < ENTRIES) {
    const [line, id] = entry(random);
    lines.push(line);
    if (listed.length < SUBJECTS) listed.push(id);
  }
  const text = lines.splice(0).join('\n');
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const begun = performance.now();
  const reading = { subject, where: title, maxEntries: ENTRIES, mayBeEmpty: false };
  const set = await readEntrySet(reading, text, createSlices());
  const loadMs = performance.now() - begun;
  delay.disable();
  const strangers = listed.map(() => stranger(random));
  const cells = [
    title,
    (text.length / 1e6).toFixed(0),
    loadMs.toFixed(0),
    (delay.max / 1e6).toFixed(1),
    (set.bytes / 1e6).toFixed(0),
    nanoseconds(set, listed),
    nanoseconds(set, strangers),
  ];
  return `| ${cells.join(' | ')} |`;
}

function nanoseconds(set: EntrySet, ids: readonly string[]): string {
  let found = 0;
  const run = (): void => {
    for (let index = 0; index < LOOKUPS; index += 1) found += set.has(ids[index % ids.length] ?? '') ? 1 : 0;
  };
  run();
  const begun = performance.now();
  run();
  const ns = ((performance.now() - begun) * 1e6) / LOOKUPS;
  return `${ns.toFixed(0)} (${((found / LOOKUPS / 2) * 100).toFixed(0)} % on it)`;
}

const { commit, node, cpu, cores, load } = describeMachine();
const rows: string[] = [];
for (const kind of KINDS) rows.push(await measure(kind));
process.stdout.write(
  [
    `Commit ${commit}, Node.js ${node}, ${cpu}, ${cores} cores, load ${load.toFixed(2)}; one thread; ${ENTRIES} entries each.`,
    '',
    '| list | text, MB | read in, ms | longest wait of others, ms | memory, MB | lookup of one on it, ns | of one not on it, ns |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n'),
);
