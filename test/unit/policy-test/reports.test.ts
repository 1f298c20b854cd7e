import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeMarkup } from '../../../src/pdp/markup.ts';
import type { CaseResult, Report } from '../../../src/policy-test/report.ts';
import { htmlReport } from '../../../src/policy-test/report-html.ts';
import { jsonReport } from '../../../src/policy-test/report-json.ts';
import { junitReport } from '../../../src/policy-test/report-junit.ts';
import { tableReport } from '../../../src/policy-test/report-table.ts';

const passed: CaseResult = {
  name: 'reads',
  file: 's/tests/t.json',
  form: 'request',
  passed: true,
  mismatches: [],
  outcome: { decision: 'ALLOW', reason: 'permitted', policies: ['p'], httpStatus: 200 },
  durationMs: 1.5,
};
const failed: CaseResult = {
  ...passed,
  name: 'a longer name with <b>"&\u0007',
  passed: false,
  mismatches: [{ field: 'decision', expected: 'ALLOW', actual: 'DENY' }],
  outcome: {
    decision: 'DENY',
    reason: 'attribute_unavailable',
    policies: [],
    message: 'later',
    detail: 'mdm: down',
  },
};
const report: Report = {
  sets: [
    {
      name: 's',
      folder: 's',
      digest: `sha256:${'0'.repeat(64)}`,
      cases: [passed, failed],
      warnings: ['s.cedar:1:1: impossible'],
      coverage: {
        policies: 2,
        undetermined: ['q'],
        policyPercent: 50,
        conditionPercent: 25,
        conditions: [
          {
            policy: 'p',
            kind: 'when',
            text: 'a < b',
            file: 's/s.cedar',
            line: 3,
            sawTrue: true,
            sawFalse: false,
          },
          {
            policy: 'q',
            kind: 'unless',
            text: 'c',
            file: 's/s.cedar',
            line: 9,
            sawTrue: false,
            sawFalse: false,
          },
        ],
      },
    },
  ],
  passed: 1,
  failed: 1,
  durationMs: 12,
};

describe('the table', () => {
  const plain = tableReport(report, { colours: false, minCoverage: 80 });

  it('aligns its columns and tells what failed, expected, came and why', () => {
    const lines = plain.split('\n');
    const columns = lines
      .filter((line) => /^ {2}(?:ok|FAIL) /.test(line))
      .map((line) => line.search(/ALLOW|DENY /));
    expect(new Set(columns).size).toBe(1);
    expect(plain).toMatch(/decision +expected +ALLOW\n +actual +DENY\n/);
    expect(plain).toContain('detail    mdm: down');
    expect(plain).toContain('warning: s.cedar:1:1: impossible');
    expect(plain).toContain('1 set, 2 tests: 1 passed, 1 failed in 0.01 s');
  });

  it('says what no test covered', () => {
    expect(plain).toContain('50 % of policies (1 of 2), 25 % of outcomes of conditions (1 of 4)');
    expect(plain).toContain('q  determined no decision');
    expect(plain).toContain('p  when { a < b }  never false (s.cedar:3)');
    expect(plain).toContain('q  unless { c }  never evaluated (s.cedar:9)');
  });

  it('is coloured only where it may be', () => {
    expect(plain).not.toContain('\u001B');
    expect(tableReport(report, { colours: true })).toContain('\u001B[31mFAIL\u001B[0m');
  });
});

describe('the JSON report', () => {
  it('holds every result in snake_case', () => {
    expect(JSON.parse(jsonReport(report))).toMatchObject({
      passed: 1,
      failed: 1,
      sets: [
        {
          tests: [
            { name: 'reads', passed: true, actual: { http_status: 200 } },
            { passed: false, mismatches: [{ field: 'decision', expected: 'ALLOW', actual: 'DENY' }] },
          ],
          coverage: { policy_percent: 50, conditions: [{ saw_true: true, saw_false: false }, {}] },
        },
      ],
    });
  });
});

describe('the JUnit report', () => {
  it('has a suite for each set and a failure for each failed test, escaped', () => {
    const xml = junitReport(report);
    expect(xml).toContain('<testsuites name="pdp policy test" tests="2" failures="1" time="0.012000">');
    expect(xml).toContain('<testcase classname="s" name="reads" file="s/tests/t.json" time="0.001500"/>');
    expect(xml).toContain('name="a longer name with &lt;b&gt;&quot;&amp;\uFFFD"');
    expect(xml).toContain('<failure message="decision: expected ALLOW, actual DENY">');
    expect(xml.match(/<testcase/g)?.length).toBe(2);
  });
});

describe('the HTML report', () => {
  it('is one page that loads nothing and lets no name become markup', () => {
    const html = htmlReport(report);
    expect(html).not.toMatch(/<script|src=|href=|url\(/);
    expect(html).not.toContain('<b>');
    expect(html).toContain('aria-label="50 %"');
    expect(html).toContain('q</code> determined no decision');
  });
});

describe('markup escaping', () => {
  it('leaves nothing that ends text or an attribute, and nothing that XML cannot hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const escaped = escapeMarkup(text);
        expect(escaped).not.toMatch(/[<>"'\n]|&(?!(?:amp|lt|gt|quot|#39|#10);)/);
        // oxlint-disable-next-line no-control-regex -- what XML 1.0 forbids
        expect(escaped).not.toMatch(/[\u0000-\u0008\u000B\u000C\u000E-\u001F]/);
        expect(escaped.isWellFormed()).toBe(true);
      }),
    );
  });

  it('keeps ordinary text as it is', () => {
    expect(escapeMarkup('a b-c_d 1/2 ü 😀')).toBe('a b-c_d 1/2 ü 😀');
  });
});
