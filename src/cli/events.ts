import { isRecord } from '../pdp/external-json.ts';
import { type Command, EXIT, parseCommandArgs, positionals } from './command.ts';
import { OPS_OPTIONS, askOps } from './ops-client.ts';

/** `pdp events status`. */
export const eventsStatus: Command = {
  name: 'events status',
  usage: '[--ops HOST:PORT] [--config FILE] [--json]',
  summary:
    'Shows how it stands with the streams of security events of a running server; exits with 1 where one has a problem.',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, OPS_OPTIONS);
    positionals(rest);
    const answer = await askOps('/event-streams', values, terminal);
    if ('exit' in answer) return answer.exit;
    const streams = Array.isArray(answer.value) ? answer.value.filter(isRecord) : [];
    terminal.out(values.json ? `${JSON.stringify(streams)}\n` : statusText(streams));
    return streams.some((stream) => problemsOf(stream).length > 0) ? EXIT.no : EXIT.ok;
  },
};

type Stream = Readonly<Record<string, unknown>>;

function statusText(streams: readonly Stream[]): string {
  if (streams.length === 0) return 'no event streams are configured\n';
  return streams.map(streamText).join('');
}

function streamText(stream: Stream): string {
  const lines = [
    `${word(stream['name'])}: ${word(stream['delivery'])} from ${word(stream['issuer'])}, ${word(stream['status'])}`,
    `  last event: ${timeOf(stream['last_event_at'])}, verified: ${timeOf(stream['verified_at'])}`,
    ...problemsOf(stream).map((problem) => `  ${word(problem)}`),
  ];
  return `${lines.join('\n')}\n`;
}

function problemsOf({ problems }: Stream): readonly unknown[] {
  return Array.isArray(problems) ? problems : [];
}

function timeOf(at: unknown): string {
  return typeof at === 'number' ? new Date(at).toISOString() : 'never';
}

/** Some of it comes from transmitters: nothing in it may steer the terminal. */
function word(text: unknown): string {
  return typeof text === 'string' ? text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD') : '-';
}
