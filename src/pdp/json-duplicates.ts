/**
 * Finds the first member name that stands twice in one object of a JSON text, which `JSON.parse` would settle silently by keeping the
 * last (SPIFFE Trust Domain and Bundle §5.1.1 has it refused). The text must be one that `JSON.parse` accepts. Names are compared as
 * written, so names with escapes, which could be another spelling of the same name, are refused too. `undefined`: there is none.
 */
export function duplicateKeyProblem(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at];
    if (character === '{') open.push(new Set());
    else if (character === '[') open.push(undefined);
    else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      const end = endOfString(json, at + 1);
      const problem = isKey(json, end + 1) ? keyProblem(open.at(-1), json.slice(at + 1, end)) : undefined;
      if (problem !== undefined) return problem;
      at = end;
    }
  }
  return undefined;
}

function endOfString(json: string, start: number): number {
  let at = start;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}

/** In valid JSON nothing but a member name is followed by a colon. */
function isKey(json: string, after: number): boolean {
  let at = after;
  while (at < json.length && ' \t\r\n'.includes(json[at] ?? '')) at += 1;
  return json[at] === ':';
}

function keyProblem(names: Set<string> | undefined, name: string): string | undefined {
  if (name.includes('\\')) return 'holds a key with a backslash';
  if (names?.has(name)) return `holds the key '${name.slice(0, 100)}' twice in one object`;
  names?.add(name);
  return undefined;
}
