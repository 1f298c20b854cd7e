// Serves the clinic's application: node examples/clinic-app/main.mjs, with the settings of README.md in the environment.
import { readFileSync } from 'node:fs';
import { createPdpClient } from 'cedar-pdp/client';
import { createClinicApp } from './app.mjs';
import { mutualTlsFetch } from './mutual-tls.mjs';

const needed = (name) => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; see examples/clinic-app/README.md`);
  return value;
};

const pdp = createPdpClient({
  url: needed('CLINIC_PDP_URL'),
  timeoutMs: Number(process.env['CLINIC_TIMEOUT_MS'] ?? 1000),
  fetch: mutualTlsFetch({
    certFile: needed('CLINIC_CERT_FILE'),
    keyFile: needed('CLINIC_KEY_FILE'),
    bundleFile: needed('CLINIC_BUNDLE_FILE'),
    serverId: needed('CLINIC_PDP_ID'),
  }),
});
const records = JSON.parse(readFileSync(new URL('appointments.json', import.meta.url), 'utf8'));
const appointments = new Map(Object.entries(records).map(([id, record]) => [id, { id, ...record }]));
const report = ({ failure, detail }) => process.stderr.write(`no decision: ${failure}: ${detail}\n`);

const app = createClinicApp({ pdp, appointments, report });
const address = await app.listen({ host: '127.0.0.1', port: Number(process.env['CLINIC_PORT'] ?? 8080) });
process.stdout.write(`the clinic is on ${address}\n`);
