import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { type PdpProcess, startPdp } from '../../support/pdp-process.ts';
import { stopProcess } from '../../support/stop-process.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';

const APP_FOLDER = fileURLToPath(new URL('../../../examples/clinic-app/', import.meta.url));
const TRUST_DOMAIN = 'prod.example.com';
/** SPIFFE ID of the decision point. */
export const PDP_ID = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';
/** The application that the policies name. */
export const APP_ID = 'spiffe://prod.example.com/ns/clinic/sa/appointments-app';
/** One that may ask, and that no policy lets in. */
export const BILLING_ID = 'spiffe://prod.example.com/ns/clinic/sa/billing-app';
/** One that may not even ask. */
export const STRANGER_ID = 'spiffe://prod.example.com/ns/shop/sa/web';

/** The decision point of the example, and what is needed to ask it. */
export interface Clinic extends AsyncDisposable {
  readonly pdp: PdpProcess;
  /** URL of its AuthZEN API. */
  readonly url: string;
  readonly ca: TestCa;
  readonly idp: TestIssuer;
  /** Starts the example application as a workload; what it answers. Stopped with the clinic. */
  start(spiffeId: string): Promise<ClinicApp>;
}

/** The example application, running. */
export interface ClinicApp {
  ask(method: string, path: string, token?: string, body?: object): Promise<ClinicAnswer>;
  /** What it wrote to stderr. */
  problems(): string;
}

/** What the application answered. */
export interface ClinicAnswer {
  readonly status: number;
  readonly challenge: string | null;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Serves examples/clinic-app/pdp.yaml with certificates and an issuer made at run time. */
export async function startClinic(): Promise<Clinic> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await createTestCa(TRUST_DOMAIN));
  const folder = await mkdtemp(join(tmpdir(), 'pdp-clinic-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const idp = await createTestIssuer({ issuer: 'https://idp.clinic.example', audience: 'appointments' });
  await writeFile(join(folder, 'idp.jwks.json'), JSON.stringify(idp.jwks));
  const address = `127.0.0.1:${await freePort()}`;
  const pdp = await startPdp({
    tls: { leaf: await ca.issue({ spiffeId: PDP_ID }), ca, allow: [] },
    config: await exampleConfig(address, folder),
  });
  stack.use(pdp);
  const url = `https://${address}`;
  const children = stack.adopt<ChildProcess[]>(
    [],
    async (all) => void (await Promise.all(all.map(stopProcess))),
  );
  const owned = stack.move();
  return {
    pdp,
    url,
    ca,
    idp,
    start: async (spiffeId) => await startApp(await ca.issue({ spiffeId }), ca, url, children),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** As in the repository, but for ports, keys, and time: a busy machine must not make a deny of a permit. */
async function exampleConfig(address: string, folder: string): Promise<Record<string, unknown>> {
  const text = await readFile(join(APP_FOLDER, 'pdp.yaml'), 'utf8');
  const config = parse(text) as {
    readonly issuers: readonly object[];
    readonly pips: readonly { readonly file: string }[];
    readonly check: { readonly callers: readonly object[] };
    readonly http: object;
    readonly authzen: object;
  };
  // A file that was checked out a day ago says nothing that is still known.
  for (const { file } of config.pips) await copyFile(join(APP_FOLDER, file), join(folder, file));
  const billing = { allow: [BILLING_ID], resources: ['Appointment'] };
  return {
    authzen: config.authzen,
    http: { ...config.http, address },
    check: { ...config.check, callers: [...config.check.callers, billing] },
    issuers: config.issuers.map((one) => ({ ...one, jwks: { file: join(folder, 'idp.jwks.json') } })),
    pips: config.pips.map((pip) => ({ ...pip, file: join(folder, pip.file) })),
    policies: { sets: [join(dirname(APP_FOLDER), '../policies/clinic')] },
    decision: { timeout_ms: 5000 },
  };
}

async function startApp(
  { certFile, keyFile }: Leaf,
  { bundleFile }: TestCa,
  url: string,
  children: ChildProcess[],
): Promise<ClinicApp> {
  const child = spawn(process.execPath, [join(APP_FOLDER, 'main.mjs')], {
    env: {
      ...process.env,
      CLINIC_PDP_URL: url,
      CLINIC_PDP_ID: PDP_ID,
      CLINIC_CERT_FILE: certFile,
      CLINIC_KEY_FILE: keyFile,
      CLINIC_BUNDLE_FILE: bundleFile,
      CLINIC_TIMEOUT_MS: '10000',
      CLINIC_PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const written = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.err += text));
  const base = await eventually('the application listens', () => {
    if (child.exitCode !== null) throw new Error(written.err);
    return /^the clinic is on (http:\S+)$/m.exec(written.out)?.[1];
  });
  return {
    problems: () => written.err,
    ask: (method, path, token, body) => ask(`${base}${path}`, method, token, body),
  };
}

async function ask(url: string, method: string, token?: string, body?: object): Promise<ClinicAnswer> {
  const answer = await fetch(url, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  return {
    status: answer.status,
    challenge: answer.headers.get('www-authenticate'),
    json: (await answer.json()) as ClinicAnswer['json'],
  };
}
