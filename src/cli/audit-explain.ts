import { STATUS, httpStatusOf } from '../api/status.ts';
import { type ExplainOptions, explainDecision } from '../audit/query/explain-decision.ts';
import { explainedText } from '../audit/query/explain-text.ts';
import { parseChange } from '../audit/query/what-if.ts';
import { engineName } from '../pdp/cedar-module.ts';
import { PERMIT_REASON } from '../pdp/decision.ts';
import { badUsage } from './ask-server.ts';
import { recordReading } from './audit-log-args.ts';
import { CONFIG_OPTION, type Command, EXIT, auditDirFor, parseCommandArgs } from './command.ts';
import { overLogs } from './over-logs.ts';
import { vkeyOf } from './vkey.ts';

const OPTIONS = {
  ...CONFIG_OPTION,
  'without-policy': { type: 'string', multiple: true },
  set: { type: 'string', multiple: true },
  vkey: { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** `pdp audit explain ID [DIR]`: one decision in full, from the log alone. */
export const auditExplain: Command = overLogs(
  {
    name: 'audit explain',
    usage: 'ID [DIR] [--without-policy ID] [--set PATH=VALUE] [--vkey KEY] [--json] [--config FILE]',
    summary:
      'explain one recorded decision in full: who, what, why, by which policies, and whether it is proven',
    async run(args, terminal) {
      const { values, positionals } = parseCommandArgs(args, OPTIONS);
      const [id, given, ...rest] = positionals;
      if (id === undefined || rest.length > 0) throw badUsage('pdp', 'expected ID [DIR]');
      const without = values['without-policy'] ?? [];
      const changes = (values.set ?? []).map(parseChange);
      const dir = given ?? auditDirFor(values.config, terminal);
      const options: ExplainOptions = {
        httpStatus: httpStatusOf,
        engine: engineName(),
        ...(values.vkey !== undefined && { key: vkeyOf(values.vkey) }),
        ...(without.length + changes.length > 0 && { whatIf: { without, changes } }),
      };
      const explained = await explainDecision(dir, id, options);
      terminal.out(values.json ? `${JSON.stringify(explained)}\n` : explainedText(explained, meaningOf));
      const reading = { verb: 'audit explain', id: explained.record.decision_id, records: 1 };
      recordReading(dir, reading, terminal);
      return EXIT.ok;
    },
  },
  { options: OPTIONS, before: 1, searches: 'always' },
);

function meaningOf(reason: string): string | undefined {
  if (reason === PERMIT_REASON) return 'a policy permits it, and none forbids it';
  return Object.hasOwn(STATUS, reason) ? STATUS[reason as keyof typeof STATUS].message : undefined;
}
