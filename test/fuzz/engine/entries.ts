import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Finding } from './engine.ts';

/** An input in a file: as text where it is plain ASCII, else in base64. */
type Entry = { readonly text: string } | { readonly base64: string };

const CORPUS = new URL('../corpus/', import.meta.url);
const FINDINGS = new URL('../findings/', import.meta.url);

/** The committed inputs of a target; none where it has no file yet. */
export function readCorpus(target: string): readonly Uint8Array[] {
  return readdirSync(CORPUS).includes(`${target}.json`)
    ? (readJson(new URL(`${target}.json`, CORPUS)) as readonly Entry[]).map(inputOf)
    : [];
}

/** Writes the committed inputs of a target. */
export function writeCorpus(target: string, inputs: readonly Uint8Array[]): void {
  writeJson(new URL(`${target}.json`, CORPUS), inputs.map(entryOf));
}

/** Inputs that once broke the promise of a target: they must not again. */
export function readFindings(target: string): readonly Finding[] {
  return readdirSync(FINDINGS)
    .filter((name) => name.endsWith('.json'))
    .map((name) => readJson(new URL(name, FINDINGS)) as Entry & { target: string; problem: string })
    .filter((found) => found.target === target)
    .map((found) => ({ target, problem: found.problem, input: inputOf(found) }));
}

/** Saves a finding in a file of its own, whose path is returned. */
export function writeFinding({ target, problem, input }: Finding): string {
  const digest = createHash('sha256').update(input).digest('hex').slice(0, 8);
  const url = new URL(`${target}-${digest}.json`, FINDINGS);
  mkdirSync(FINDINGS, { recursive: true });
  writeJson(url, { target, problem, ...entryOf(input) });
  return fileURLToPath(url);
}

function inputOf(entry: Entry): Uint8Array {
  return 'text' in entry ? Buffer.from(entry.text, 'latin1') : Buffer.from(entry.base64, 'base64');
}

function entryOf(input: Uint8Array): Entry {
  const bytes = Buffer.from(input);
  const text = bytes.toString('latin1');
  return /^[\n\t -~]*$/.test(text) ? { text } : { base64: bytes.toString('base64') };
}

function readJson(url: URL): unknown {
  return JSON.parse(readFileSync(url, 'utf8'));
}

function writeJson(url: URL, value: unknown): void {
  writeFileSync(url, `${JSON.stringify(value, null, 2)}\n`);
}
