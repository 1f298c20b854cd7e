// `Action` is Cedar's own; the others would hide the types that an author goes on to declare attributes with.
const RESERVED: ReadonlySet<string> = new Set(['Action', 'Bool', 'Boolean', 'Long', 'String']);

const IRREGULAR: ReadonlyMap<string, string> = new Map([
  ['people', 'person'],
  ['children', 'child'],
  ['men', 'man'],
  ['women', 'woman'],
  ['indices', 'index'],
  ['matrices', 'matrix'],
  ['vertices', 'vertex'],
  ['criteria', 'criterion'],
  ['movies', 'movie'],
  ['cookies', 'cookie'],
  ['caches', 'cache'],
]);

const UNCHANGED = /(?:ss|us|is|news|series|species|alias|canvas|atlas|bias|https|dns|sms)$/;

/** The singular of an English noun, as far as rules of thumb go. Returns the word itself where it looks singular. */
export function singular(word: string): string {
  const lower = word.toLowerCase();
  const irregular = IRREGULAR.get(lower);
  if (irregular !== undefined) return word.slice(0, 1) + irregular.slice(1);
  if (lower.length < 3 || UNCHANGED.test(lower)) return word;
  if (/[^aeiou]ies$/.test(lower) && lower.length > 4) return `${word.slice(0, -3)}y`;
  if (/(?:ss|sh|ch|x|zz|status|virus|bonus|campus|bus|alias)es$/.test(lower)) return word.slice(0, -2);
  return lower.endsWith('s') ? word.slice(0, -1) : word;
}

/** `patient-records` as `PatientRecords`; always a Cedar identifier that means nothing else. */
export function pascalCase(text: string): string {
  const words = text.match(/[A-Za-z0-9]+/g) ?? [];
  const name = words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
  if (name === '') return 'Root';
  if (/^\d/.test(name)) return `N${name}`;
  return RESERVED.has(name) ? `${name}Item` : name;
}

/** The entity type that a collection's segment names: `patient-records` is `PatientRecord`. */
export function typeOf(segment: string): string {
  const words = segment.match(/[A-Za-z0-9]+/g) ?? [];
  const last = words.at(-1);
  return pascalCase(last === undefined ? '' : [...words.slice(0, -1), singular(last)].join(' '));
}

/** The entity type that a parameter names: `patientId` is `Patient`. */
export function typeOfParameter(name: string): string {
  const noun = name.replace(
    /(?:[_-]?(?:uuid|guid|id|key|name|slug|number)|(?:Uuid|UUID|Guid|Id|ID|Key|Name|Slug|Number))$/,
    '',
  );
  return pascalCase(noun === '' ? name : noun);
}

/** A capture's name for a parameter's: letters, digits and '_'. */
export function captureName(parameter: string): string {
  const [first = 'id', ...others] = parameter.match(/[A-Za-z0-9_]+/g) ?? [];
  const name = first + others.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
  return (/^\d/.test(name) ? `p${name}` : name).slice(0, 60);
}

/** `name`, or `name2`, `name3` … where it is taken. Takes it. */
export function uniqueName(name: string, taken: Set<string>, separator = ''): string {
  let unique = name;
  for (let next = 2; taken.has(unique); next += 1) unique = `${name}${separator}${next}`;
  taken.add(unique);
  return unique;
}
