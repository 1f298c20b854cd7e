import { openLogWriter } from '../../src/audit/log/log-writer.ts';
import type { LogWriterOptions } from '../../src/audit/log/log-writer-options.ts';
import type { LogWriter } from '../../src/audit/log/log-writer.ts';
import type { Pseudonyms } from '../../src/audit/privacy/pseudonyms.ts';
import { controlPrivacyOf, recordPrivacyOf } from '../../src/compose/audit-privacy.ts';
import { createRecorder } from '../../src/audit/record/recorder.ts';
import { httpStatusOf } from '../../src/api/status.ts';
import { engineName } from '../../src/pdp/cedar-module.ts';
import type { UserIdentity } from '../../src/pdp/identity.ts';
import type { Recorder } from '../../src/pdp/ports.ts';
import type { DecisionTrace } from '../../src/pdp/trace.ts';
import { type Setup, setUp, userIdentity } from '../unit/pdp/decision-point.ts';
import type { ManualClock } from './clock.ts';
import { accessRequest } from './requests.ts';

/** Users of the finance group may read reports with a second factor; legal holds forbid; anybody may read what is public. */
export const REPORT_POLICIES = `
@id("reports.finance")
permit(principal in ZeroTrust::Group::"finance", action == ZeroTrust::Action::"GET", resource)
when { context has http && context.http.path like "/reports/*" };
@id("reports.public")
permit(principal, action == ZeroTrust::Action::"GET", resource)
when { context has http && context.http.path like "/public/*" };
@id("reports.hold") @reason("on legal hold")
forbid(principal, action, resource)
when { context has http && context.http.path like "/reports/hold/*" };
`;

/** One question to be decided and recorded. */
export interface Ask {
  /** Absent: no user. */
  readonly user?: string;
  readonly method?: string;
  readonly path?: string;
}

/** A decision log that is being written by the real stages, recorder and writer. */
export interface DecisionLog extends AsyncDisposable {
  readonly writer: LogWriter;
  readonly clock: ManualClock;
  /** Decides one question, records it, and gives its trace. */
  ask(question: Ask): Promise<DecisionTrace>;
  /** Puts other policies in force. */
  activate(policies: string): void;
}

/** Opens a log in `dir`. `groups` are those of each user in the directory; alice and bob are in finance unless given. */
export async function openDecisionLog(
  dir: string,
  {
    groups = FINANCE,
    policies = REPORT_POLICIES,
    log: changes = {},
    setup = {},
    pseudonyms,
  }: DecisionLogOptions = {},
): Promise<DecisionLog> {
  const quiet = () => undefined;
  let user: UserIdentity | undefined;
  const late: { recorder?: Recorder } = {};
  const point = setUp({
    policies,
    recorder: { record: (trace) => late.recorder?.record(trace) ?? Promise.resolve() },
    user: () => Promise.resolve(user),
    sources: [directory(groups)],
    ...setup,
  });
  const writer = await openLogWriter({
    dir,
    log: 'example.com/pdp/test',
    durability: 'written',
    plaintext: [],
    logger: { info: quiet, warn: quiet, error: quiet },
    clock: point.clock,
    privacy: controlPrivacyOf(pseudonyms),
    ...changes,
  });
  late.recorder = createRecorder({
    writer,
    onFailure: 'deny',
    httpStatus: httpStatusOf,
    engine: engineName(),
    acceptsTokens: true,
    privacy: recordPrivacyOf(pseudonyms, writer),
  });
  return {
    writer,
    clock: point.clock,
    ask: async ({ user: name, method = 'GET', path = '/reports/q1' }) => {
      user = name === undefined ? undefined : userIdentity(name);
      return await point.decide(accessRequest({ method, path }));
    },
    activate: (next) => point.activate(next),
    [Symbol.asyncDispose]: () => writer[Symbol.asyncDispose](),
  };
}

/** What is special about a log. */
export interface DecisionLogOptions {
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  readonly policies?: string;
  readonly log?: Partial<LogWriterOptions>;
  readonly setup?: Partial<Setup>;
  /** Absent: names are in clear. */
  readonly pseudonyms?: Pseudonyms;
}

const FINANCE = { alice: ['finance'], bob: ['finance'] };

function directory(groups: Readonly<Record<string, readonly string[]>>) {
  return {
    name: 'directory',
    subject: 'user' as const,
    gives: ['groups'],
    onFailure: 'deny' as const,
    lookup: (id: string) => ({
      status: 'found' as const,
      attributes: {},
      groups: [...(groups[id.replace('demo/', '')] ?? [])],
      observedAt: Date.UTC(2026, 0, 1),
      freshUntil: Date.UTC(2027, 0, 1),
    }),
  };
}
