import { expect, it } from 'vitest';
import { compileSnapshot } from '../../../src/pdp/compile-snapshot.ts';
import { PolicyReadsIndex } from '../../../src/pdp/policy-reads.ts';
import { policyTexts } from '../../support/snapshot.ts';

const POLICIES = `@id("ip") permit(principal, action, resource) when { context has ip };
@id("dept") forbid(principal, action, resource) when { principal has department && principal.department == "legal" };
@id("in") permit(principal in ?principal, action, resource);`;

it('what a policy reads is told apart from what others of its set read, and what a link fills in is its own', () => {
  const links = [
    {
      file: 'links.json',
      text: JSON.stringify([
        { template: 'in', id: 'in.staff', principal: { type: 'ZeroTrust::Group', id: 'staff' } },
      ]),
    },
  ];
  const { snapshot } = compileSnapshot({ ...policyTexts(POLICIES), links }, 0);
  const reads = new PolicyReadsIndex(snapshot);
  expect([...reads.of('ip').contextKeys]).toEqual(['ip']);
  expect([...reads.of('ip').attributes]).toEqual(['ip']);
  expect([...reads.of('dept').attributes]).toEqual(['department']);
  expect([...reads.of('in.staff').entityTypes]).toEqual(['ZeroTrust::Group']);
  expect(reads.of('ip')).toBe(reads.of('ip'));
  expect(() => reads.of('none')).toThrow(TypeError);
});
