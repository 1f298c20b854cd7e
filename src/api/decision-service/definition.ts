import type { ServiceDefinition } from '@grpc/grpc-js';

const NAME = 'pdp.v1.DecisionService';
/** Bytes in, bytes out: a message that cannot be decoded leaves a record too. */
const identity = (bytes: Buffer) => bytes;
const method = (name: string) => ({
  path: `/${NAME}/${name}`,
  requestStream: false as const,
  responseStream: false as const,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
});

/** The service definition of `pdp.v1.DecisionService`, on raw bytes. */
export const DECISION_SERVICE: ServiceDefinition = {
  Check: method('Check'),
  BatchCheck: method('BatchCheck'),
  Explain: method('Explain'),
};

/** Paths of its methods. */
export const DECISION_SERVICE_PATHS: readonly string[] = Object.values(DECISION_SERVICE).map(
  ({ path }) => path,
);
