import type { z } from 'zod';
import type { Check } from './check.ts';
import type { Devices } from './devices.ts';
import type { Issuer, Tokens } from './identity.ts';
import type { Pip } from './pips.ts';
import { threatsProblem } from './pip-threats.ts';
import type { OnwardIdentity } from './onward.ts';
import { DEMO_ATTRIBUTES } from './rules.ts';
import { type SurfaceConfig, isPlaintext } from './surfaces.ts';
import { KUBERNETES_HEADER, type Workloads } from './workloads.ts';
import { ISSUER_PRESETS } from '../pip/token/issuer-presets.ts';

/** The parts of the configuration that have an effect only together. */
export interface EffectSettings {
  readonly demo: boolean;
  readonly grpc: SurfaceConfig;
  readonly http: SurfaceConfig;
  readonly authzen?: object | undefined;
  readonly check: z.output<typeof Check>;
  readonly issuers: readonly z.output<typeof Issuer>[];
  readonly tokens: z.output<typeof Tokens>;
  readonly devices: z.output<typeof Devices>;
  readonly workloads: z.output<typeof Workloads>;
  readonly onward_identity?: z.output<typeof OnwardIdentity> | undefined;
  readonly pips: readonly z.output<typeof Pip>[];
}

type Issue = (path: readonly PropertyKey[], message: string) => void;

/** Adds an issue for each setting that would silently do nothing, for want of another. */
export function checkEffects(config: EffectSettings, context: z.core.$RefinementCtx): void {
  const issue: Issue = (path, message) => context.addIssue({ code: 'custom', path: [...path], message });
  checkCallers(config, issue);
  checkPipSubjects(config, issue);
  checkThreats(config, issue);
  checkDevices(config, issue);
  checkIssuers(config, issue);
  checkUserClaims(config, issue);
}

function checkCallers(config: EffectSettings, issue: Issue): void {
  const { grpc, http, authzen, check } = config;
  const plaintext = [isPlaintext('grpc', grpc), ...(authzen ? [isPlaintext('http', http)] : [])];
  const surfaces = authzen ? 'grpc and http are' : 'grpc is';
  const { callers, explain, plaintext_callers: anybody } = check;
  const nobodyIsNamed = `has no effect while ${surfaces} plaintext, where nobody has a SPIFFE ID`;
  if (!plaintext.includes(false)) {
    for (const [index, { allow }] of callers.entries())
      if (allow.length > 0) issue(['check', 'callers', index, 'allow'], nobodyIsNamed);
    if (explain.allow.length > 0) issue(['check', 'explain', 'allow'], nobodyIsNamed);
  }
  const everybodyIsNamed = `has no effect while ${surfaces} over mutual TLS`;
  if (!plaintext.includes(true)) {
    if (anybody) issue(['check', 'plaintext_callers'], everybodyIsNamed);
    if (explain.plaintext) issue(['check', 'explain', 'plaintext'], everybodyIsNamed);
  }
  checkApplications(config, issue);
}

/** Applications are named by tokens, which some issuer must vouch for. */
function checkApplications({ check, issuers }: EffectSettings, issue: Issue): void {
  const vouching = new Set(issuers.filter(({ use }) => use === 'application').map(({ name }) => name));
  const lists = [
    ...check.callers.map(({ applications }, index) => ({ path: ['callers', index], applications })),
    { path: ['explain'], applications: check.explain.applications },
  ];
  for (const { path, applications } of lists)
    for (const [index, application] of applications.entries()) {
      const issuer = application.slice(0, application.indexOf('/'));
      if (!vouching.has(issuer))
        issue(
          ['check', ...path, 'applications', index],
          `has no effect: there is no issuer '${issuer}' with \`use: application\``,
        );
    }
}

function checkPipSubjects({ check, pips }: EffectSettings, issue: Issue): void {
  for (const [type, subjects] of Object.entries(check.pips))
    for (const [index, subject] of subjects.entries())
      if (!pips.some((pip) => pip.subject === subject))
        issue(
          ['check', 'pips', type, index],
          `no information point has the subject '${subject}': see pips[].subject`,
        );
}

function checkThreats({ pips }: EffectSettings, issue: Issue): void {
  for (const [index, pip] of pips.entries()) {
    const problem = threatsProblem(pip, pips.slice(0, index));
    if (problem !== undefined) issue(['pips', index, 'subject'], problem);
  }
}

function checkDevices({ devices, issuers }: EffectSettings, issue: Issue): void {
  for (const name of Object.keys(devices.max_posture_age_s_by_issuer))
    if (!issuers.some((issuer) => issuer.name === name && issuer.use === 'device'))
      issue(
        ['devices', 'max_posture_age_s_by_issuer', name],
        `has no effect: there is no issuer '${name}' with \`use: device\``,
      );
}

function checkIssuers({ issuers, tokens, workloads }: EffectSettings, issue: Issue): void {
  const checksProofs = Object.keys(tokens.dpop.origins).length > 0;
  for (const [index, { binding }] of issuers.entries())
    if (binding === 'dpop' && !checksProofs)
      issue(
        ['issuers', index, 'binding'],
        'needs tokens.dpop.origins: without them no DPoP proof can be checked',
      );
  const hasCluster = issuers.some(({ use }) => use === 'workload');
  if (!hasCluster && workloads.kubernetes_token.header !== KUBERNETES_HEADER)
    issue(
      ['workloads', 'kubernetes_token', 'header'],
      'has no effect without an issuer with `use: workload`',
    );
}

function checkUserClaims({ demo, issuers, onward_identity: onward }: EffectSettings, issue: Issue): void {
  const mapped = new Set(demo ? Object.keys(DEMO_ATTRIBUTES) : []);
  for (const { use, preset, claims } of issuers) {
    if (use !== 'user') continue;
    const known = preset === undefined ? {} : ISSUER_PRESETS[preset].claims.attributes;
    for (const attribute of Object.keys({ ...known, ...claims.attributes })) mapped.add(attribute);
  }
  for (const [index, claim] of (onward?.user_claims ?? []).entries())
    if (!mapped.has(claim))
      issue(
        ['onward_identity', 'user_claims', index],
        `'${claim}' is mapped by no issuer of users: see issuers[].claims.attributes`,
      );
}
