import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { STATUS, httpStatusOf } from '../../../src/api/status.ts';
import { createWorkloadAuthenticator } from '../../../src/pip/workload/workload.ts';
import type { PolicyTestParts } from '../../../src/policy-test/run-case.ts';

/** The parts that the CLI uses. */
export const parts: PolicyTestParts = {
  workload: createWorkloadAuthenticator(),
  httpStatus: httpStatusOf,
  message: (reason) => STATUS[reason].message,
};

/** A folder of policy sets that is removed at the end of its scope. */
export class Sets implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'pdp-policy-test-'));

  /** Writes files by their path below the root; objects as JSON. Returns the root. */
  write(files: { readonly [path: string]: string | object }): string {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.root, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content, undefined, 2));
    }
    return this.root;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true, maxRetries: 20 });
  }
}

/** A small schema in the default namespace. */
export const SCHEMA = `namespace ZeroTrust {
  entity TrustDomain; entity Namespace in [TrustDomain]; entity WorkloadGroup;
  entity Workload in [Namespace, TrustDomain, WorkloadGroup] = { trust_domain: String };
  entity Group in [Group];
  entity User in [Group] = { issuer: String, subject: String, level?: Long };
  entity DeviceGroup; entity Device in [DeviceGroup] = { @max_age("1h") compliant?: Bool };
  entity Anonymous; entity Service = { host: String };
  entity Endpoint in [Service] = { path: String, host: String };
  type Facts = { mtls: Bool, source?: Workload, user?: User, device?: Device, now?: datetime, ip?: ipaddr,
    ip_facts?: { threats?: Set<String> } };
  action GET, POST appliesTo { principal: [User, Workload, Anonymous], resource: [Endpoint], context: Facts };
}`;

/** Members read, devices must be compliant, level arithmetic can overflow. */
export const POLICIES = `@id("t.members-read")
permit (principal in ZeroTrust::Group::"members", action == ZeroTrust::Action::"GET", resource)
when { resource.path like "/a*" };

@id("t.compliant")
@reason("the device is not compliant")
forbid (principal, action, resource)
when { context has device }
unless { context.device has compliant && context.device.compliant };

@id("t.level")
@reason("the level is too low")
forbid (principal is ZeroTrust::User, action, resource)
when { principal has level && principal.level + 1 < 3 };

@id("t.step-up")
@reason("say it again")
@advice("step_up")
@acr_values("mfa")
forbid (principal is ZeroTrust::User, action == ZeroTrust::Action::"POST", resource);
`;

/** What a case is given unless it says otherwise. */
export const GIVEN = {
  method: 'GET',
  path: '/a',
  host: 'a.example',
  user: { issuer: 'idp', subject: 'ann' },
  facts: [{ source: 'directory', subject: 'user', groups: ['members'] }],
};

/** A request-level case. */
export function requestCase(name: string, given: object, expect: object): object {
  return { name, given: { ...GIVEN, ...given }, expect };
}
