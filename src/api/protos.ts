import { fileURLToPath } from 'node:url';
import type { MethodDefinition } from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import type { PackageDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

const PROTO_FOLDER = fileURLToPath(new URL('../../proto', import.meta.url));
const EXTERNAL_AUTH = 'envoy/service/auth/v3/external_auth.proto';
const DECISION_SERVICE = 'pdp/v1/decision_service.proto';

/** Message types of ext_authz, ready to decode and encode. */
export interface ExtAuthzTypes {
  readonly CheckRequest: protobuf.Type;
  readonly CheckResponse: protobuf.Type;
}

/** Message types of `pdp.v1.DecisionService`, ready to decode and encode. */
export interface DecisionServiceTypes {
  readonly CheckRequest: protobuf.Type;
  readonly CheckResponse: protobuf.Type;
  readonly BatchCheckRequest: protobuf.Type;
  readonly BatchCheckResponse: protobuf.Type;
  readonly ExplainRequest: protobuf.Type;
  readonly ExplainResponse: protobuf.Type;
}

/** Loads our proto files. Throws where they are missing or wrong: a build without them is broken. */
export function loadExtAuthzTypes(): ExtAuthzTypes {
  const root = loadRoot(EXTERNAL_AUTH);
  return {
    CheckRequest: root.lookupType('envoy.service.auth.v3.CheckRequest'),
    CheckResponse: root.lookupType('envoy.service.auth.v3.CheckResponse'),
  };
}

/** As {@link loadExtAuthzTypes}, for the decision service. */
export function loadDecisionServiceTypes(): DecisionServiceTypes {
  const root = loadRoot(DECISION_SERVICE);
  const type = (name: string) => root.lookupType(`pdp.v1.${name}`);
  return {
    CheckRequest: type('CheckRequest'),
    CheckResponse: type('CheckResponse'),
    BatchCheckRequest: type('BatchCheckRequest'),
    BatchCheckResponse: type('BatchCheckResponse'),
    ExplainRequest: type('ExplainRequest'),
    ExplainResponse: type('ExplainResponse'),
  };
}

/** Bytes in, bytes out. */
const identity = (bytes: Buffer) => bytes;

/** A unary method on raw bytes: a message that cannot be decoded must become a recorded deny, not an RPC error. */
export function rawMethod(path: string): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}

/** The descriptors of what we serve, for reflection. */
export function loadPackageDefinition(): PackageDefinition {
  const files = [EXTERNAL_AUTH, DECISION_SERVICE];
  return protoLoader.loadSync(files, { includeDirs: [PROTO_FOLDER], keepCase: true });
}

function loadRoot(file: string): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    target.startsWith('google/protobuf/') ? target : `${PROTO_FOLDER}/${target}`;
  root.loadSync(file).resolveAll();
  return root;
}
