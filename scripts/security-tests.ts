import { readFileSync, readdirSync } from 'node:fs';
import { FLAW_CLASSES, type FlawClass, type Surface } from '../test/security/flaw-classes.ts';

const FOLDER = new URL('../test/security/', import.meta.url);

/** The tests of one flaw class through one surface, as they stand in one file. */
export interface ClassTests {
  readonly number: number;
  readonly surface: Surface;
  readonly file: string;
  /** In the order of the file; one for each row of a table of cases. */
  readonly titles: readonly string[];
}

/**
 * Finds the calls of `flawClass` in the text of a test file, with the titles of the tests up to the next one. Throws where a test has no title
 * that can be read, stands outside of a class, or is switched off.
 */
export function readClassTests(file: string, text: string): ClassTests[] {
  if (/\.(?:skip|todo|only|fails|skipIf|runIf)\b/.test(text))
    throw new Error(`${file}: a test is switched off`);
  const [preamble = '', ...chunks] = text.split(/^flawClass\(/m);
  if (/^\s*test[.(]/m.test(preamble)) throw new Error(`${file}: a test stands outside of a flaw class`);
  return chunks.map((chunk) => {
    const [, number, surface] = /^(\d+), '(gRPC|Envoy)', \(\) => \{/.exec(chunk) ?? [];
    if (number === undefined)
      throw new Error(`${file}: number and surface of a flaw class must be written out`);
    return { number: Number(number), surface: surface as Surface, file, titles: titlesOf(file, chunk) };
  });
}

function titlesOf(file: string, chunk: string): string[] {
  const heads = [...chunk.matchAll(/^ {2}test[.(<]/gm)].map(({ index }) => index);
  return heads.map((start, at) => {
    const body = chunk.slice(start, heads[at + 1]);
    // The title of a table comes where the call that `test.each` returned begins.
    const title = body.startsWith('  test(')
      ? /^ {2}test\(\s*(['"])(.+?)\1,/.exec(body)
      : /\)\(\s*(['"])(.+?)\1,/.exec(body);
    if (title?.[2] === undefined)
      throw new Error(`${file}: the title of a test cannot be read: ${body.slice(0, 60)}`);
    return title[2];
  });
}

/** All tests of flaw classes, by file. */
export function allClassTests(): ClassTests[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts'));
  return files
    .toSorted()
    .flatMap((file) => readClassTests(file, readFileSync(new URL(file, FOLDER), 'utf8')));
}

/**
 * What is wrong with the tests as a whole: classes without tests, tests of classes that there are not, and classes of which nobody says why they
 * have no test through Envoy, or says so though they have one.
 */
export function coverageProblems(classes: readonly FlawClass[], tests: readonly ClassTests[]): string[] {
  const has = (number: number, surface: Surface): boolean =>
    tests.some((one) => one.number === number && one.surface === surface && one.titles.length > 0);
  const missing = classes.flatMap(({ number, surfaces }) =>
    surfaces
      .filter((surface) => !has(number, surface))
      .map((surface) => `class ${number} has no test through ${surface}`),
  );
  const unknown = tests
    .filter(
      ({ number, surface }) =>
        !classes.some((one) => one.number === number && one.surfaces.includes(surface)),
    )
    .map(({ file, number, surface }) => `${file}: class ${number} through ${surface} is not in the list`);
  const unexplained = classes
    .filter(({ surfaces, withoutEnvoy }) => surfaces.includes('Envoy') !== (withoutEnvoy === undefined))
    .map(({ number }) => `class ${number} has either a test through Envoy or a reason why it has none`);
  return [...missing, ...unknown, ...unexplained];
}

/** `docs/security-tests.md`. Throws where {@link coverageProblems} finds any. */
export function securityTestsPage(): string {
  const tests = allClassTests();
  const problems = coverageProblems(FLAW_CLASSES, tests);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  const of = (number: number, surface: Surface): readonly ClassTests[] =>
    tests.filter((one) => one.number === number && one.surface === surface);
  const rows = FLAW_CLASSES.map(
    ({ number, title, advisories, defence }) =>
      `| [${number}](#${number}) | ${cell(title)} | ${advisories.join(', ')} | ${cell(defence)} | ${links(of(number, 'gRPC'))} | ${links(of(number, 'Envoy')) || `none: [why](#${number})`} |`,
  );
  return [
    '# Published flaws, and the tests that we do not have them',
    '',
    'Generated from `test/security/` by `npm run docs`; do not edit. A class without a test, or a test of a class that is not listed, fails it.',
    '',
    'These are the classes of flaws that were published against decision points like this one and the proxies that ask them. Each is a test',
    'through the gRPC listener of a whole PDP: the attack is denied with its reason, it has a record, and the same request without the attack',
    'is allowed. What Envoy passes on goes through a real Envoy too, once as careless as it can be configured (nothing normalised, underscores',
    'and upgrades allowed, raw headers) and once normalising as much as it can (headers joined): there each request ends at Envoy or at the',
    'PDP, or the service behind sees exactly the path that was decided on. Facts of routes, metadata of other filters, bodies and tokens go through',
    'an Envoy that passes them on. Where a class has no test through Envoy, its section says why.',
    '',
    'Two settings are for the operator, since nothing on the wire tells us of them. `failure_mode_allow: false` (Istio: `failOpen: false`): with',
    '`true` whoever makes the PDP slow is let in. `encode_raw_headers: true`: without it Envoy joins duplicates and writes `!` for bytes that',
    "are not UTF-8, so that we must deny what is honest: a path with a '!' in it.",
    '',
    "One fact is the client's word though Envoy passes it on beside verified ones: `context.http.scheme`, over HTTP/2 and in absolute-form",
    'targets. A policy that wants an authenticated connection asks for `context.mtls`.',
    '',
    '| # | Class | Published as | What we do | gRPC | Envoy |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '## What each test shows',
    ...FLAW_CLASSES.flatMap((one) => section(one, of)),
    '',
  ].join('\n');
}

function section(
  { number, title, withoutEnvoy }: FlawClass,
  of: (number: number, surface: Surface) => readonly ClassTests[],
): string[] {
  const list = (surface: Surface): string[] =>
    of(number, surface).flatMap(({ titles }) => titles.map((text) => `- ${surface}: ${prose(text)}`));
  const why = withoutEnvoy === undefined ? [] : ['', `Not through Envoy. ${withoutEnvoy}`];
  return ['', `### ${number}`, '', prose(title), '', ...list('gRPC'), ...list('Envoy'), ...why];
}

/** In a title `%s`, `%j` and `$path` stand for the cases of a table. */
function prose(title: string): string {
  return title.replaceAll(/%[sj]|\$\w+/g, '…').replaceAll(/[*_<>[\]]/g, String.raw`\$&`);
}

function cell(text: string): string {
  return text.replaceAll('|', String.raw`\|`);
}

function links(tests: readonly ClassTests[]): string {
  const files = [...new Set(tests.map(({ file }) => file))];
  const count = tests.flatMap(({ titles }) => titles).length;
  const named = files.map((file) => `[${file.replace('.test.ts', '')}](../test/security/${file})`).join(', ');
  return files.length === 0 ? '' : `${count} in ${named}`;
}
