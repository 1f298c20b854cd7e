import { fileURLToPath } from 'node:url';
import * as protoLoader from '@grpc/proto-loader';
import type { PackageDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

const PROTO_FOLDER = fileURLToPath(new URL('../../proto', import.meta.url));
const EXTERNAL_AUTH = 'envoy/service/auth/v3/external_auth.proto';

/** Message types of ext_authz, ready to decode and encode. */
export interface ExtAuthzTypes {
  readonly CheckRequest: protobuf.Type;
  readonly CheckResponse: protobuf.Type;
}

/** Loads our proto files. Throws where they are missing or wrong: a build without them is broken. */
export function loadExtAuthzTypes(): ExtAuthzTypes {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    target.startsWith('google/protobuf/') ? target : `${PROTO_FOLDER}/${target}`;
  root.loadSync(EXTERNAL_AUTH).resolveAll();
  return {
    CheckRequest: root.lookupType('envoy.service.auth.v3.CheckRequest'),
    CheckResponse: root.lookupType('envoy.service.auth.v3.CheckResponse'),
  };
}

/** The descriptors of what we serve, for reflection. */
export function loadPackageDefinition(): PackageDefinition {
  return protoLoader.loadSync(EXTERNAL_AUTH, { includeDirs: [PROTO_FOLDER], keepCase: true });
}
