import type {
  MethodDefinition,
  Server,
  ServiceDefinition,
  UntypedServiceImplementation,
  handleBidiStreamingCall,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { loadPackageDefinition } from './protos.ts';

type Message = object;

interface Method {
  readonly definition: MethodDefinition<Message, Message>;
  readonly handle: handleBidiStreamingCall<Message, Message>;
}

const NAME = 'ServerReflectionInfo';
const SERVICES = ['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];

/**
 * Adds server reflection, `grpc.reflection.v1` and `v1alpha`. What it answers from is made when somebody first asks: it is a tenth of a start, and
 * few ask.
 */
export function addReflection(server: Server): void {
  let made: ReadonlyMap<string, Method> | undefined;
  const methodAt = (path: string): Method => {
    made ??= makeMethods();
    const method = made.get(path);
    if (!method) throw new TypeError(`the library of reflection serves no ${path}`);
    return method;
  };
  for (const service of SERVICES) {
    const path = `/${service}/${NAME}`;
    const definition: MethodDefinition<Message, Message> = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: (value) => methodAt(path).definition.requestSerialize(value),
      requestDeserialize: (bytes) => methodAt(path).definition.requestDeserialize(bytes),
      responseSerialize: (value) => methodAt(path).definition.responseSerialize(value),
      responseDeserialize: (bytes) => methodAt(path).definition.responseDeserialize(bytes),
    };
    const handle: Method['handle'] = (call) => methodAt(path).handle(call);
    server.addService({ [NAME]: definition }, { [NAME]: handle });
  }
}

/** The methods of the library by their path, as it would add them to a server. */
function makeMethods(): ReadonlyMap<string, Method> {
  const methods = new Map<string, Method>();
  const addService = (service: ServiceDefinition, { [NAME]: handle }: UntypedServiceImplementation): void => {
    const definition = service[NAME];
    if (definition) methods.set(definition.path, { definition, handle: handle as Method['handle'] });
  };
  new ReflectionService(loadPackageDefinition()).addToServer({ addService });
  return methods;
}
