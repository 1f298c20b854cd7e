import cluster from 'node:cluster';
import { once } from 'node:events';
import { relative } from 'node:path';
import type { Logger } from 'pino';
import { METADATA_PATH } from '../api/authzen/metadata.ts';
import { type App, startApp } from '../compose.ts';
import { nobodyMayAsk, plaintextSurfaces } from '../compose/surfaces.ts';
import { startPrimary } from '../compose/workers/primary.ts';
import { runAsWorker } from '../compose/workers/worker.ts';
import { LOOPBACK } from '../config/rules.ts';
import { isPlaintext } from '../config/surfaces.ts';
import { workerCount } from '../config/workers.ts';
import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';
import type { PolicySnapshot } from '../pdp/policy-snapshot.ts';
import { createLogger } from '../telemetry.ts';
import {
  CONFIG_OPTION,
  type Command,
  EXIT,
  type Terminal,
  configFor,
  configPath,
  parseCommandArgs,
  positionals,
} from './command.ts';

/** Where examples and `pdp check --server` ask unless told otherwise. */
const DEFAULT_ADDRESS = '127.0.0.1:9191';

/** `pdp serve`: serves until SIGTERM or SIGINT, then drains. */
export const serve: Command = {
  name: 'serve',
  usage: '[--config FILE]',
  summary: 'serve checks until stopped (SIGTERM drains, SIGHUP reloads policies)',
  async run(args, terminal) {
    if (cluster.isWorker) return await serveAsWorker();
    const { values, positionals: rest } = parseCommandArgs(args, CONFIG_OPTION);
    positionals(rest);
    const started = performance.now();
    const config = configFor(values.config, terminal);
    const log = createLogger(config.telemetry.log_level);
    warnOfOpenDoors(config, log);
    // From the start: whoever asks to stop before we are ready is heard as well.
    const stopping = Promise.race(
      ['SIGTERM', 'SIGINT'].map(async (name) => [name, await once(process, name)]),
    );
    const abandoned = new AbortController();
    void stopping.then(() => abandoned.abort());
    const opened = Promise.withResolvers<Opened>();
    // Nor does it end us to be told to reload before we are ready: that is done then.
    const reload = () => void opened.promise.then((one) => one.reload());
    process.on('SIGHUP', reload);
    const file = configPath(values.config);
    const served = await open(config, log, { file, signal: abandoned.signal }).catch((error: unknown) => {
      if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
      log.info({}, 'stopped before serving');
    });
    if (!served) return EXIT.ok;
    opened.resolve(served);
    const startMs = Math.round(performance.now() - started);
    log.info({ ...served.addresses, ...served.fields, start_ms: startMs }, 'serving');
    // Standard output is the log's alone where the log goes there.
    const lines = config.audit.sinks.some(({ kind }) => kind === 'stdout');
    terminal[lines ? 'err' : 'out'](served.banner);
    const [signal] = await stopping;
    log.info({ signal }, 'draining');
    await served.stop();
    process.off('SIGHUP', reload);
    log.info({}, 'stopped');
    return EXIT.ok;
  },
};

interface Opened {
  readonly addresses: object;
  /** More for the line of the log that says that we serve. */
  readonly fields: object;
  readonly banner: string;
  reload(): void;
  stop(): Promise<void>;
}

interface Opening {
  readonly file: string | undefined;
  readonly signal: AbortSignal;
}

/** One process that does everything, or one that keeps workers. */
async function open(config: Config, log: Logger, { file, signal }: Opening): Promise<Opened> {
  const workers = workerCount(config.workers);
  if (workers > 1) return { ...(await startPrimary(config, log, { file, signal })), fields: { workers } };
  return openedOf(await startApp(config, log, signal), config, file);
}

function openedOf(app: App, config: Config, file: string | undefined): Opened {
  return {
    addresses: app.addresses,
    fields: { snapshot: app.policies.current()?.digest },
    banner: banner(config, app, file),
    reload: () => void app.policies.reloadIfChanged(),
    stop: () => app.stop(),
  };
}

async function serveAsWorker(): Promise<number> {
  await runAsWorker(async ({ number, config, file }, seat, signal) => {
    const log = createLogger(config.telemetry.log_level).child({ worker: number });
    const app = await startApp(config, log, signal, seat);
    return {
      ...openedOf(app, config, file),
      started: { addresses: app.addresses, banner: banner(config, app, file) },
    };
  });
  return EXIT.ok;
}

/** What is said to a caller that nobody knows, and what anybody may listen to, is a choice to be seen. */
function warnOfOpenDoors(config: Config, log: Log): void {
  for (const name of plaintextSurfaces(config))
    if (name === 'grpc' || !LOOPBACK.test(config[name].address))
      log.warn(
        { surface: name, address: config[name].address },
        `the ${name} surface is PLAINTEXT and takes any caller, as configured`,
      );
  const tokenInTheOpen = isPlaintext('ops', config.ops) && !LOOPBACK.test(config.ops.address);
  if (config.ops.admin_token_file !== undefined && tokenInTheOpen)
    log.warn(
      { address: config.ops.address },
      'the admin token crosses the network in PLAINTEXT, as configured',
    );
  warnOfPlaintextQuestions(config, log);
  if (nobodyMayAsk(config)) log.warn({ setting: 'grpc.allow' }, NOBODY);
}

const NOBODY = 'nobody may ask: grpc.allow is empty';

/** What is said to a caller that nobody knows is a choice to be seen. */
function warnOfPlaintextQuestions(config: Config, log: Log): void {
  const { check, grpc, http, authzen } = config;
  const { plaintext_callers: anybody, explain } = check;
  const onGrpc = isPlaintext('grpc', grpc);
  if (anybody && onGrpc)
    log.warn({ ...anybody }, 'whoever reaches the gRPC surface may ask the decision service, as configured');
  if (anybody && authzen && isPlaintext('http', http))
    log.warn({ ...anybody }, 'whoever reaches the HTTP surface may ask the AuthZEN API, as configured');
  if (explain.plaintext && onGrpc)
    log.warn({}, 'whoever reaches the gRPC surface may have EXPLANATIONS of any decision, as configured');
}

function banner(config: Config, { addresses, policies }: App, file: string | undefined): string {
  const scheme = (name: 'http' | 'ops') => (isPlaintext(name, config[name]) ? 'http' : 'https');
  const workers = workerCount(config.workers);
  const lines = [
    'cedar-pdp is serving',
    `  gRPC      ${addresses.grpc}   ext_authz v3, DecisionService, health, reflection   (${isPlaintext('grpc', config.grpc) ? 'PLAINTEXT' : 'mutual TLS'})`,
    ...(nobodyMayAsk(config) ? [`            ${NOBODY}`] : []),
    ...(addresses.http === undefined
      ? []
      : [`  http      ${scheme('http')}://${addresses.http}   ${httpPaths(config).join(' ')}`]),
    `  ops       ${scheme('ops')}://${addresses.ops}   /livez /readyz /metrics /policies`,
    ...policyLines(policies),
    `  log       ${relative('', config.audit.dir) || '.'}`,
    ...(workers > 1 ? [`  workers   ${workers}, each with a log of its own in that folder`] : []),
  ];
  if (config.demo) lines.push('', ...demoHints(addresses.grpc, file));
  return `${lines.join('\n')}\n`;
}

function httpPaths({ authzen, onward_identity: onward }: Config): readonly string[] {
  const metadata = authzen?.base_url === undefined ? [] : [METADATA_PATH];
  return [
    ...(authzen ? ['/access/v1 (AuthZEN)', ...metadata] : []),
    ...(onward ? ['/.well-known/jwks.json'] : []),
  ];
}

function policyLines(policies: App['policies']): string[] {
  const active = policies.current();
  const candidate = policies.candidate.current();
  const refused = policies.source(policies.enforced === 'sets' ? 'candidate' : 'sets')?.refusal;
  const observed = active?.bindings.observed ?? [];
  const slot = policies.enforced === 'candidate' ? '   (the promoted candidate)' : '';
  return [
    `  policies  ${active ? `${snapshotText(active)}${slot}` : 'NONE YET: every check is denied'}`,
    ...(candidate ? [`  candidate ${snapshotText(candidate)}, in shadow: decides nothing`] : []),
    ...(!candidate && refused !== undefined ? [`  candidate NOT LOADED: ${refused}`] : []),
    ...(observed.length > 0 ? observedLines(observed) : []),
  ];
}

/** Loud: whoever forgets a route in observe mode has an open door. */
function observedLines(observed: readonly string[]): string[] {
  const routes = observed.length === 1 ? '1 ROUTE IS' : `${observed.length} ROUTES ARE`;
  const names = observed.slice(0, 10).join(', ') + (observed.length > 10 ? ', …' : '');
  return ['', `  !!! ${routes} IN OBSERVE MODE: denies are logged and LET THROUGH: ${names}`];
}

function snapshotText({ policyIds, digest }: PolicySnapshot): string {
  return `${policyIds.length}, ${digest.slice(0, 19)}…`;
}

function demoHints(address: string, file: string | undefined): string[] {
  const requests = 'deploy/local/requests';
  const pdp = `bin/pdp`;
  const server = address === DEFAULT_ADDRESS ? '--server' : `--server ${address}`;
  const token = `--token "$(${pdp} demo token --config ${relative('', file ?? '')} --user alice --mfa --device laptop-1)"`;
  return [
    'Try it from another terminal:',
    '  # ALLOW: the payment API posts a ledger entry',
    `  ${pdp} check ${server} ${requests}/payment-api-posts-entry.json`,
    '  # DENY: the web frontend may not reach the ledger',
    `  ${pdp} check ${server} ${requests}/web-reads-entries.json`,
    '  # ALLOW: alice, in Finance, with MFA, on a healthy laptop, through the known app',
    `  ${pdp} check ${server} ${token} ${requests}/quarterly-report.json`,
    '  # DENY, with a step-up challenge: the same without --mfa',
    `  ${pdp} check ${server} ${token.replace(' --mfa', '')} ${requests}/quarterly-report.json`,
    '  # what an application asks pdp.v1.DecisionService, and an explanation',
    `  node examples/ask.mjs${address === DEFAULT_ADDRESS ? '' : ` ${address}`}`,
  ];
}

/** The terminal of this process. */
export const PROCESS_TERMINAL: Terminal = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  interactive: process.stdout.isTTY,
};
