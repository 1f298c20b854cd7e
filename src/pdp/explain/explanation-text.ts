import type { Condition, Explanation, PolicyExplanation } from './explanation.ts';
import { stoodInTheWay } from './conditions.ts';

/**
 * An explanation as text for a terminal: what decided, with its text; and on a deny the permits that came nearest, with what
 * failed. Ends with a newline.
 */
export function explanationText(explanation: Explanation): string {
  const { verdict, determining, overridden, erring, nearMisses, scopeMisses, truncated } = explanation;
  const nothing = verdict === 'deny' && determining.length === 0 ? ['No permit applies.'] : [];
  const lines = [
    ...nothing,
    ...section(verdict === 'deny' ? 'Denied by' : 'Permitted by', determining, decidingLines),
    ...section('Could not be evaluated', erring, failingLines),
    ...section('Overridden', overridden, () => []),
    ...section('Permits that came near', nearMisses, failingLines),
    ...section('Permits for another principal', scopeMisses, failingLines),
    ...(truncated ? ['More was left out.'] : []),
  ];
  return `${lines.join('\n')}\n`;
}

function section(
  title: string,
  policies: readonly PolicyExplanation[],
  linesOf: (policy: PolicyExplanation) => readonly string[],
): readonly string[] {
  if (policies.length === 0) return [];
  const each = policies.flatMap((policy) => [
    `  ${policy.effect} ${policy.id}  ${policy.file}:${policy.line}:${policy.column}`,
    ...linesOf(policy).map((line) => `    ${line}`),
  ]);
  return [`${title}:`, ...each];
}

function decidingLines({ conditions, text }: PolicyExplanation): readonly string[] {
  return [...conditions.map(conditionLine), ...text.split('\n').map((line) => `| ${line}`.trimEnd())];
}

function failingLines({ conditions, failed }: PolicyExplanation): readonly string[] {
  const told = conditions.filter(stoodInTheWay);
  const count = `${failed} of ${conditions.length} conditions ${failed === 1 ? 'stands' : 'stand'} in the way:`;
  return [...(conditions.length > 1 ? [count] : []), ...told.map(conditionLine)];
}

function conditionLine({ words }: Condition): string {
  return `- ${words}`;
}
