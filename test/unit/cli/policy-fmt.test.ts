import { chmodSync, readFileSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changeOfMeaning, formatPolicies } from '../../../src/cli/format-policies.ts';
import { policyFmt } from '../../../src/cli/policy-fmt.ts';
import { runCli } from '../../../src/cli/run.ts';
import { CedarChecker } from '../../../src/pdp/cedar.ts';
import { Sets } from '../policy-test/fixture.ts';

const checker = new CedarChecker();
const UGLY = '@id("a")permit(principal,action,resource)when{context.x==1};';
const NEAT = '@id("a")\npermit (principal, action, resource)\nwhen { context.x == 1 };\n';

async function fmt(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const told = { out: '', err: '' };
  const terminal = {
    out: (text: string) => void (told.out += text),
    err: (text: string) => void (told.err += text),
    interactive: false,
  };
  const code = await runCli([policyFmt], ['policy', 'fmt', ...args], terminal);
  return { code, ...told };
}

function format(text: string): string {
  const formatted = formatPolicies('x.cedar', text, checker);
  return typeof formatted === 'string' ? formatted : `refused: ${formatted.problems[0]?.message}`;
}

describe('pdp policy fmt', () => {
  it('formats the files of folders in place, and then finds nothing to do', async () => {
    using sets = new Sets();
    const root = sets.write({ 'a/x.cedar': UGLY, 'b/c/y.cedar': NEAT, 'b/notes.txt': UGLY });
    const first = await fmt(root);
    expect(first).toMatchObject({
      code: 0,
      out: `${join(root, 'a/x.cedar')}\n`,
      err: '2 files, 1 formatted\n',
    });
    expect(readFileSync(join(root, 'a/x.cedar'), 'utf8')).toBe(NEAT);
    expect(await fmt(root, '--check')).toMatchObject({ code: 0, out: '' });
  });

  it('only lists with --check, and exits with 1', async () => {
    using sets = new Sets();
    const root = sets.write({ 'x.cedar': UGLY });
    expect(await fmt(root, '--check')).toMatchObject({ code: 1, out: `${join(root, 'x.cedar')}\n` });
    expect(readFileSync(join(root, 'x.cedar'), 'utf8')).toBe(UGLY);
  });

  it('leaves no temporary file, keeps the mode, and writes through a link', async () => {
    using sets = new Sets();
    const root = sets.write({ 'real/x.cedar': UGLY, 'set/note': '' });
    chmodSync(join(root, 'real/x.cedar'), 0o640);
    symlinkSync('../real/x.cedar', join(root, 'set/x.cedar'));
    await fmt(join(root, 'set'));
    expect(readFileSync(join(root, 'real/x.cedar'), 'utf8')).toBe(NEAT);
    expect(statSync(join(root, 'real/x.cedar')).mode & 0o777).toBe(0o640);
    expect(readdirSync(join(root, 'real'))).toEqual(['x.cedar']);
    expect(readdirSync(join(root, 'set'))).toEqual(['note', 'x.cedar']);
  });

  it('formats what it can, and says with file, line and column what it cannot', async () => {
    using sets = new Sets();
    const root = sets.write({
      'bad.cedar': '// head\n\npermit (principal, action resource);',
      'x.cedar': UGLY,
    });
    const { code, err } = await fmt(root);
    expect(code).toBe(2);
    expect(err).toMatch(/bad\.cedar:3:27: .*unexpected token `resource`/);
    expect(readFileSync(join(root, 'x.cedar'), 'utf8')).toBe(NEAT);
  });

  it('refuses to do nothing', async () => {
    using sets = new Sets();
    expect(await fmt()).toMatchObject({ code: 2 });
    expect((await fmt(sets.root)).err).toContain('is neither a *.cedar file nor a folder with any');
  });
});

describe('formatting', () => {
  it('keeps the comment that heads a file apart from the first policy, and its paragraphs', () => {
    expect(format(`// What this is.\n//\n// More.\n\n\n// Notes.\n\n// Of a.\n${UGLY}`)).toBe(
      `// What this is.\n//\n// More.\n\n// Notes.\n\n// Of a.\n${NEAT}`,
    );
  });

  it.each([
    ['// of the policy\npermit(principal,action,resource);'],
    [
      'permit(principal,action,resource) // after the scope\nwhen { true && // first\n context.a }; // end\n// last',
    ],
    ['permit(principal, // who\n action, // what\n resource // on what\n);'],
    [
      '@id("x") // id\npermit(principal,action,resource)\nunless { // not\n context.a // a\n == [1, // one\n 2] };',
    ],
    [
      '// one\n\n// two\n\npermit(principal,action,resource);\n// between\n\npermit(principal,action,resource);',
    ],
    ['permit(principal,action,resource) when { "// no comment" == context.a }; // "no text"'],
    ['// only a comment'],
  ])('keeps every comment of %j', (text) => {
    const comments = (of: string) => [...of.matchAll(/"[^"\n]*"|\/\/[^\n]*/g)].map(([one]) => one);
    const formatted = format(text);
    expect(comments(formatted).filter((one) => one.startsWith('//'))).toEqual(
      comments(text).filter((one) => one.startsWith('//')),
    );
  });

  it('makes one end of line of every kind, and drops a byte order mark', () => {
    expect(format(`\uFEFF// a\r\n${UGLY}\r\n`)).toBe(`// a\n${NEAT}`);
  });

  it('formats templates', () => {
    expect(format('permit(principal==?principal,action,resource in ?resource);')).toBe(
      'permit (principal == ?principal, action, resource in ?resource);\n'.replace(
        /\((.*)\)/,
        (_, scope: string) => `(\n  ${scope.split(', ').join(',\n  ')}\n)`,
      ),
    );
  });

  it('keeps meaning and comments of any file, and is done after one time', () => {
    const comment = fc.constantFrom('', '// a\n', '\n\n', '// "b"; permit\n', '  // c\n\n');
    const condition = fc.constantFrom(
      '',
      'when{context.a&&// in\n context.b}',
      'unless{"//"==context.c||!(context.d)}',
    );
    const policy = fc
      .tuple(comment, comment, condition, comment)
      .map(
        ([before, inside, condition, after]) =>
          `${before}@id("x")permit(principal,${inside}action,resource)${inside}${condition};${after}`,
      );
    fc.assert(
      fc.property(fc.array(policy, { minLength: 1, maxLength: 4 }), (policies) => {
        const text = policies.join('\n');
        const formatted = format(text);
        if (formatted.startsWith('refused: formatting would lose')) return;
        expect(changeOfMeaning(text, formatted, checker)).toBeUndefined();
        expect(format(formatted)).toBe(formatted);
      }),
      { numRuns: 150 },
    );
  });

  it('is not taken where it means something else, or has lost a comment', () => {
    expect(changeOfMeaning(NEAT, NEAT.replace('1', '2'), checker)).toContain('change what the policies mean');
    expect(changeOfMeaning(NEAT, NEAT.replace('"a"', '"b"'), checker)).toContain(
      'change what the policies mean',
    );
    expect(changeOfMeaning(`${NEAT}${NEAT}`, NEAT, checker)).toContain('change what the policies mean');
    expect(changeOfMeaning(NEAT, 'permit (', checker)).toContain('change what the policies mean');
    expect(changeOfMeaning(`// c\n${NEAT}`, NEAT, checker)).toContain('lose or move a comment');
  });
});
