import type { ServiceDefinition } from '@grpc/grpc-js';
import { rawMethod } from '../protos.ts';

const NAME = 'pdp.v1.DecisionService';
const method = (name: string) => rawMethod(`/${NAME}/${name}`);

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
