// Asks pdp.v1.DecisionService of the quick start (`npm start`), as an application would: node examples/ask.mjs [HOST:PORT]
// Needs `@grpc/grpc-js` and `@grpc/proto-loader`; docs/decision-service.md says what each field means.
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const includeDirs = [fileURLToPath(new URL('../proto', import.meta.url))];
const definition = loadSync('pdp/v1/decision_service.proto', { includeDirs, enums: String });
const { DecisionService } = loadPackageDefinition(definition).pdp.v1;
const service = new DecisionService(process.argv[2] ?? '127.0.0.1:9191', credentials.createInsecure());
const ask = (method, question) =>
  promisify(service[method].bind(service))(question, { deadline: Date.now() + 2000 });

const host = { stringValue: 'ledger-api.ledger' };
const ledger = 'spiffe://prod.example.com/ns/ledger/sa/ledger-api';
const { decision, reason } = await ask('Check', {
  subject: { type: 'Workload', id: 'spiffe://prod.example.com/ns/payments/sa/payment-api' },
  action: { name: 'POST' },
  resource: { type: 'Endpoint', id: `${ledger} /internal/entries`, properties: { fields: { host } } },
});
process.stdout.write(`${decision} ${reason}\n`); // nobody has proven by mutual TLS to be the payment API

const web = 'spiffe://prod.example.com/ns/frontend/sa/web';
const entries = { method: 'POST', path: '/internal/entries', host: host.stringValue, scheme: 'https' };
const { text } = await ask('Explain', { http: { ...entries, source: web, destination: ledger } });
process.stdout.write(`${text}\n`);
service.close();
