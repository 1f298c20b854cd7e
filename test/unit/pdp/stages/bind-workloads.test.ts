import { describe, expect, test } from 'vitest';
import type { ProvenWorkload, Workloads } from '../../../../src/pdp/identity.ts';
import { CallScope } from '../../../../src/pdp/call-scope.ts';
import { accessRequest } from '../../../support/requests.ts';
import { setUp } from '../decision-point.ts';

const uid = (id: string) => ({ type: 'ZeroTrust::Workload', id });

function workload(service: string, evidence: ProvenWorkload['evidence'] = 'principal'): ProvenWorkload {
  const path = `/ns/mesh/sa/${service}`;
  const id = `spiffe://prod.example.com${path}`;
  return { id, trustDomain: 'prod.example.com', path, namespace: 'mesh', serviceAccount: service, evidence };
}

const WEB = workload('web');
const CLIENT = workload('client', 'xfcc');
const FORGED = 'spiffe://prod.example.com/ns/x/sa/forged';

const READS_THEM = `
  @id("reads") permit(principal, action, resource) when {
    (context has origin && context.origin == ZeroTrust::Workload::"a") ||
    (context has pep && context.pep.trust_domain == "b") ||
    (context has claimed_sources && context.claimed_sources.contains("c")) ||
    (context has source_evidence && context.source_evidence == "principal") ||
    (context has origin_evidence && context.origin_evidence == "d")
  };`;

async function decide(workloads: Workloads, policies = READS_THEM) {
  return await setUp({ policies, workload: { authenticate: () => workloads } }).decide(accessRequest());
}

describe('the workloads of a request', () => {
  test('are told apart in the context', async () => {
    const { cedar } = await decide({ source: WEB, origin: CLIENT, claimedSources: [FORGED] });
    expect(cedar?.context).toMatchObject({
      origin: { __entity: uid(CLIENT.id) },
      origin_evidence: 'xfcc',
      claimed_sources: [FORGED],
      source_evidence: 'principal',
    });
    expect(cedar?.principal).toEqual(uid(WEB.id));
    const origin = cedar?.entities.find((entity) => entity.uid.id === CLIENT.id);
    expect(origin).toMatchObject({ parents: [] });
  });

  test('that asked first are told apart by their proof: a token is good for whoever holds it', async () => {
    const policies = `
      @id("by-proxies") permit(principal, action, resource)
      when { context has origin && context has origin_evidence && context.origin_evidence == "xfcc" };`;
    for (const [evidence, verdict] of [
      ['xfcc', 'permit'],
      ['jwt_svid', 'deny'],
      ['kubernetes_token', 'deny'],
    ] as const) {
      const { decision } = await decide({ source: WEB, origin: workload('client', evidence) }, policies);
      expect([evidence, decision.verdict]).toEqual([evidence, verdict]);
    }
    expect((await decide({ source: WEB })).cedar?.context).not.toHaveProperty('origin_evidence');
  });

  test('name the PEP where it is known', async () => {
    const {
      point,
      decide: decideBy,
      clock,
    } = setUp({
      policies: READS_THEM,
      workload: { authenticate: () => ({ source: WEB }) },
    });
    expect((await decideBy(accessRequest())).cedar?.context).not.toHaveProperty('pep');
    using scope = new CallScope(clock, 50);
    const times = { receivedAt: clock.now(), startedAt: clock.monotonic() };
    const pep = { address: '127.0.0.1:1', workload: workload('pep') };
    const envelope = { id: 'd', surface: 'ext_authz', pep, ...times } as const;
    const { cedar } = await point.decide({ envelope, question: accessRequest(), scope, decodeUs: 0 });
    expect(cedar?.context).toMatchObject({ pep: { __entity: uid(pep.workload.id) } });
    expect(cedar?.entities).toContainEqual(
      expect.objectContaining({ uid: uid(pep.workload.id), attrs: { trust_domain: 'prod.example.com' } }),
    );
  });

  test('that no policy asks for are not sent, so that equal questions stay equal', async () => {
    const policies = '@id("all") permit(principal, action, resource);';
    const plain = await decide({ source: WEB }, policies);
    const further = await decide({ source: WEB, origin: CLIENT, claimedSources: [FORGED] }, policies);
    expect(further.cedar).toEqual(plain.cedar);
  });

  test('have what an information point knows of each of them', async () => {
    const policies = `
      @id("all") permit(principal, action, resource);
      @id("quarantine") forbid(principal, action, resource)
      when { context has origin && context.origin in ZeroTrust::WorkloadGroup::"quarantined" };`;
    const asked: string[] = [];
    const point = setUp({
      policies,
      workload: { authenticate: () => ({ source: WEB, origin: CLIENT }) },
      sources: [
        {
          name: 'threats',
          subject: 'workload',
          gives: ['groups'],
          onFailure: 'deny',
          lookup(id) {
            asked.push(id);
            const groups = id === CLIENT.id ? ['quarantined'] : [];
            return { status: 'found', attributes: {}, groups, observedAt: 0, freshUntil: 4e12 };
          },
        },
      ],
    });
    const { decision } = await point.decide(accessRequest());
    expect(decision).toMatchObject({ verdict: 'deny', policies: ['quarantine'] });
    expect(asked).toEqual([WEB.id, CLIENT.id]);
  });

  test.each([
    ['principal', true],
    ['certificate', true],
    ['xfcc', true],
    ['client_cert', true],
    ['jwt_svid', false],
    ['kubernetes_token', false],
  ] as const)('proven by %s: mutual TLS is %s', async (evidence, mtls) => {
    const trace = await decide({ source: workload('web', evidence) });
    expect(trace.cedar?.context).toMatchObject({ mtls });
  });

  test('end the time for which an answer holds when their proof ends', async () => {
    const provenUntil = 1;
    for (const key of ['source', 'origin'] as const) {
      const trace = await decide({ source: WEB, origin: CLIENT, [key]: { ...WEB, provenUntil } });
      expect(trace.inputsValidUntil).toBe(provenUntil);
    }
  });
});
