/**
 * HTTP header fields, by lower-case name, duplicates kept in order.
 *
 * Envoy sends them either as a map, with duplicates joined by ',', or raw (`encode_raw_headers`). `joined` says which, since a
 * ',' in a joined value may hide a second field.
 */
export class HeaderFields {
  readonly #fields = new Map<string, string[]>();
  /** How many fields become a name when '_' is folded to '-'. */
  readonly #folded = new Map<string, number>();
  #fieldCount = 0;
  readonly #read = new Set<string>();
  #without: ReadonlySet<string> = NO_NAMES;
  #lacked = false;
  readonly joined: boolean;

  constructor(fields: Iterable<readonly [name: string, value: string]>, joined: boolean) {
    this.joined = joined;
    for (const [name, value] of fields) {
      const key = asciiLowerCase(name);
      const values = this.#fields.get(key);
      this.#fieldCount += 1;
      if (values) values.push(value);
      else this.#add(key, value);
    }
  }

  #add(key: string, value: string): void {
    this.#fields.set(key, [value]);
    if (!key.includes('_')) return;
    const folded = key.replaceAll('_', '-');
    this.#folded.set(folded, (this.#folded.get(folded) ?? 0) + 1);
  }

  /** All values of a field in order of arrival; `name` in lower case. */
  values(name: string): readonly string[] {
    if (this.#without === NO_NAMES) this.#read.add(name);
    else if (this.#without.has(name)) this.#lacked = true;
    return this.#fields.get(name) ?? [];
  }

  /**
   * The values that a field may have been sent with, each trimmed: a ',' may part two fields that the PEP or somebody before it has
   * joined, and nobody can tell (RFC 9110 §5.3, CVE-2021-32777).
   */
  separate(name: string): readonly string[] {
    return this.values(name).flatMap((value) => value.split(',').map((part) => part.trim()));
  }

  /** Whether a field was sent whose name becomes `name` when a server behind us folds '_' to '-' (CVE-2025-64484). */
  hasUnderscoreTwin(name: string): boolean {
    return this.#folded.has(name);
  }

  /** Names that somebody has asked for the values of: nothing rests on any other. */
  get read(): ReadonlySet<string> {
    return this.#read;
  }

  /** The same fields but for those of some names (lower case), of which it is not known any more whether they were sent, nor with what. */
  without(names: ReadonlySet<string>): HeaderFields {
    const fields = [...this.#fields].filter(([name]) => !names.has(name));
    const rest = new HeaderFields(
      fields.flatMap(([name, values]) => values.map((value) => [name, value] as const)),
      this.joined,
    );
    rest.#without = names;
    return rest;
  }

  /** Whether somebody has asked for what is not known: then nothing may rest on these fields. */
  get lacked(): boolean {
    return this.#lacked;
  }

  /** Whether it is not known what was sent under one of the names. */
  lacksAny(names: ReadonlySet<string>): boolean {
    return !this.#without.isDisjointFrom(names);
  }

  /** What the names that hold a '_' become when it is folded to '-'. */
  folded(): Iterable<string> {
    return this.#folded.keys();
  }

  /** Whether more than one name with a '_' becomes `name`. */
  foldedTwice(name: string): boolean {
    return (this.#folded.get(name) ?? 0) > 1;
  }

  /** The names present, in lower case. */
  names(): Iterable<string> {
    return this.#fields.keys();
  }

  /** How many distinct names are present. */
  get size(): number {
    return this.#fields.size;
  }

  /** How many fields are present, duplicates counted. */
  get fieldCount(): number {
    return this.#fieldCount;
  }
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** Lower case of A to Z alone: Unicode folding would make the Kelvin sign a 'k', and so another name this one. */
export function asciiLowerCase(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : text;
}
