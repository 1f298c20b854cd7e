// The yardstick: a grpc-js server that takes the same calls and answers with ready-made bytes, without looking at them.
// Usage: node noop-server.ts PORT ANSWER_HEX
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';

const identity = (bytes: Buffer): Buffer => bytes;

const SERVICE: ServiceDefinition = {
  Check: {
    path: '/envoy.service.auth.v3.Authorization/Check',
    requestStream: false,
    responseStream: false,
    requestDeserialize: identity,
    requestSerialize: identity,
    responseDeserialize: identity,
    responseSerialize: identity,
  },
};

const [port = '0', answerHex = '0a00'] = process.argv.slice(2);
const answer = Buffer.from(answerHex, 'hex');
const server = new Server();
server.addService(SERVICE, {
  Check: (_call: unknown, callback: (error: null, answer: Buffer) => void) => callback(null, answer),
});
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
  if (error) throw error;
  process.stdout.write(`listening on ${bound}\n`);
});
