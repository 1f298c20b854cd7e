import { type CheckAnswer, askServer } from '../api/ext-authz/client.ts';
import { loadExtAuthzTypes } from '../api/protos.ts';
import { httpStatusOf, STATUS } from '../api/status.ts';
import { SYSTEM_CLOCK, composeCore } from '../compose/core.ts';
import { openLocalSharedState } from '../compose/shared-state.ts';
import type { Config } from '../config.ts';
import type { AccessRequest } from '../pdp/access-request.ts';
import { CallScope } from '../pdp/call-scope.ts';
import { decisionId } from '../pdp/decision-id.ts';
import { TraceExplainer } from '../pdp/explain/explain-trace.ts';
import type { Explanation } from '../pdp/explain/explanation.ts';
import { explanationText } from '../pdp/explain/explanation-text.ts';
import type { DecisionTrace } from '../pdp/trace.ts';
import { createLogger } from '../telemetry.ts';
import { CONFIG_OPTION, type Command, EXIT, configFor, parseCommandArgs, positionals } from './command.ts';
import { readRequestFile } from './request-file.ts';

const DEFAULT_SERVER = '127.0.0.1:9191';
const LOCAL_TIMEOUT_MS = 5000;

/** `pdp check FILE`: decides one request, here with the configuration or at a running server. */
export const check: Command = {
  name: 'check',
  usage: 'FILE [--config FILE | --server[=HOST:PORT]] [--token TOKEN] [--json]',
  summary: 'decide one request file: here, with the configuration, or at a running server',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(withServerDefault(args), {
      ...CONFIG_OPTION,
      server: { type: 'string' },
      token: { type: 'string' },
      json: { type: 'boolean' },
    });
    const [file = ''] = positionals(rest, 'FILE');
    const request = readRequestFile(file, values.token);
    const answer =
      values.server === undefined
        ? localAnswer(await decideHere(configFor(values.config, terminal), request))
        : serverAnswer(await askServer(values.server, request, loadExtAuthzTypes()));
    terminal.out(values.json ? `${JSON.stringify(answer)}\n` : text(answer));
    return answer.decision === 'ALLOW' ? EXIT.ok : EXIT.no;
  },
};

/** A bare `--server` means the default address. */
function withServerDefault(args: readonly string[]): string[] {
  return args.map((arg, index) => {
    const next = args[index + 1];
    return arg === '--server' && (next === undefined || !/:\d+$/.test(next))
      ? `--server=${DEFAULT_SERVER}`
      : arg;
  });
}

interface Answer {
  readonly decision: 'ALLOW' | 'DENY';
  readonly http_status: number;
  readonly reason: string;
  readonly message?: string;
  /** For operators; known only where the decision was made here. */
  readonly detail?: string;
  /** What decided and what came near; known only where the decision was made here. */
  readonly explanation?: Explanation;
  readonly policies: readonly string[];
  readonly challenge?: string;
  readonly decision_id: string;
  readonly snapshot?: string;
}

function serverAnswer({ allowed, httpStatus, headers, body, metadata }: CheckAnswer): Answer {
  const problem = (body === '' ? {} : JSON.parse(body)) as { title?: string; detail?: string };
  const message = problem.detail ?? problem.title;
  const challenge = headers['www-authenticate'];
  return {
    decision: allowed ? 'ALLOW' : 'DENY',
    http_status: httpStatus,
    reason: String(metadata['reason']),
    ...(message !== undefined && { message }),
    policies: listOf(metadata['policies']),
    ...(challenge !== undefined && { challenge }),
    decision_id: String(metadata['decision_id']),
    ...(metadata['snapshot'] !== undefined && { snapshot: String(metadata['snapshot']) }),
  };
}

function localAnswer(trace: DecisionTrace): Answer {
  const { id, decision } = trace;
  const explanation = trace.snapshot && new TraceExplainer(trace.snapshot).explain(trace);
  const common = {
    http_status: httpStatusOf(decision),
    reason: decision.reason,
    policies: decision.policies,
    decision_id: id,
    ...(decision.snapshot !== undefined && { snapshot: decision.snapshot }),
    ...(explanation && { explanation }),
  };
  if (decision.verdict === 'permit') return { decision: 'ALLOW', ...common };
  const { detail } = decision;
  const message = decision.message ?? STATUS[decision.reason].message;
  return { decision: 'DENY', ...common, message, ...(detail !== undefined && { detail }) };
}

function listOf(value: CheckAnswer['metadata'][string] | undefined): readonly string[] {
  return typeof value === 'object' ? value : [];
}

/** Decides without a log: nobody acts on this answer. */
async function decideHere(config: Config, request: AccessRequest): Promise<DecisionTrace> {
  const log = createLogger('warn');
  const nowhere = { record: () => Promise.resolve() };
  const local = { ...config, policies: { ...config.policies, reload_ms: 0 } };
  await using stack = new AsyncDisposableStack();
  const shared = await openLocalSharedState(config.shared_state, { clock: SYSTEM_CLOCK, log }, stack);
  await using core = await composeCore(local, {
    shared,
    recorder: nowhere,
    observer: { checked: () => undefined },
    log,
  });
  using scope = new CallScope(SYSTEM_CLOCK, LOCAL_TIMEOUT_MS);
  const receivedAt = SYSTEM_CLOCK.now();
  const envelope = {
    id: decisionId(receivedAt),
    surface: 'ext_authz' as const,
    pep: { address: 'cli' },
    receivedAt,
    startedAt: SYSTEM_CLOCK.monotonic(),
  };
  return await core.decisionPoint.decide({ envelope, question: request, scope, decodeUs: 0 });
}

function text(answer: Answer): string {
  const rows = [
    ['reason', answer.message === undefined ? answer.reason : `${answer.reason}: ${answer.message}`],
    ['detail', answer.detail],
    ['policies', answer.policies.length === 0 ? 'none' : answer.policies.join(', ')],
    ['challenge', answer.challenge],
    ['decision id', answer.decision_id],
    ['snapshot', answer.snapshot],
  ];
  const lines = rows.flatMap(([name, value]) =>
    value === undefined ? [] : [`  ${String(name).padEnd(12)} ${value}`],
  );
  const why = answer.explanation ? `\n${explanationText(answer.explanation)}\n` : '';
  const observed =
    answer.decision === 'DENY' && answer.http_status === 200
      ? ', not enforced: the route is in observe mode'
      : '';
  return `${answer.decision}  (HTTP ${answer.http_status}${observed})\n${lines.join('\n')}\n${why}`;
}
