import type { FuzzTarget } from './engine/target.ts';

/** All targets, made when they are used: each loads only what it covers. */
export const TARGETS: Readonly<Record<string, () => Promise<FuzzTarget>>> = {
  xfcc: async () => (await import('./targets/xfcc.ts')).xfccTarget(),
  path: async () => (await import('./targets/path.ts')).pathTarget(),
  host: async () => (await import('./targets/host.ts')).hostTarget(),
  'spiffe-id': async () => (await import('./targets/spiffe-id.ts')).spiffeIdTarget(),
  'compact-jws': async () => (await import('./targets/compact-jws.ts')).compactJwsTarget(),
  'check-request': async () => (await import('./targets/check-request.ts')).checkRequestTarget(),
  fingerprint: async () => (await import('./targets/fingerprint.ts')).fingerprintTarget(),
  decision: async () => (await import('./targets/decision.ts')).decisionTarget(),
  question: async () => (await import('./targets/question.ts')).questionTarget(),
  'bundle-document': async () => (await import('./targets/bundle-document.ts')).bundleDocumentTarget(),
  'x509-chain': async () => (await import('./targets/x509-chain.ts')).x509ChainTarget(),
  'x509-leaf': async () => (await import('./targets/x509-leaf.ts')).x509LeafTarget(),
  'client-cert': async () => (await import('./targets/client-cert.ts')).clientCertTarget(),
  dpop: async () => (await import('./targets/dpop.ts')).dpopTarget(),
  'security-event': async () => (await import('./targets/security-event.ts')).securityEventTarget(),
};
