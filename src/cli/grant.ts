import { badUsage } from './ask-server.ts';
import { durationSeconds } from './duration.ts';
import { type Command, EXIT, type Terminal, parseCommandArgs, positionals } from './command.ts';
import { grantText, grantTable } from './grant-text.ts';
import { HTTP_OPTIONS, type HttpOptions, askHttp } from './http-client.ts';

const USAGE = '[--config FILE] [--http HOST:PORT] --token-file TOKENFILE [--json]';

/** `pdp grant request`: asks for access for a while; with `--break-glass`, takes it. */
export const grantRequest: Command = {
  name: 'grant request',
  usage: `--scope NAME --for TIME --justification TEXT [--ticket TEXT] [--break-glass] ${USAGE}`,
  summary: 'ask a running server for access for a while; it is granted when somebody else approves',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, {
      ...HTTP_OPTIONS,
      scope: { type: 'string' },
      for: { type: 'string' },
      justification: { type: 'string' },
      ticket: { type: 'string' },
      'break-glass': { type: 'boolean' },
    });
    positionals(rest);
    const { scope, justification, ticket } = values;
    if (scope === undefined) throw badUsage('--scope', 'is needed: what for');
    if (values.for === undefined) throw badUsage('--for', 'is needed: how long, such as 1h or 30m');
    if (justification === undefined) throw badUsage('--justification', 'is needed: why');
    const body = {
      scope,
      duration_s: durationSeconds(values.for, '--for'),
      justification,
      ...(ticket !== undefined && { ticket }),
      ...(values['break-glass'] && { break_glass: true }),
    };
    return await tellGrant('/grants', values, terminal, body);
  },
};

/** `pdp grant approve ID`. */
export const grantApprove = changeCommand('approve', 'approve a request for a grant');

/** `pdp grant deny ID`. */
export const grantDeny = changeCommand('deny', 'deny a request for a grant', 'needed');

/** `pdp grant revoke ID`. */
export const grantRevoke = changeCommand('revoke', 'end a grant, or withdraw a request for one', 'optional');

/** `pdp grant list`: one's own grants, and with `--all` those that one may approve. */
export const grantList: Command = {
  name: 'grant list',
  usage: `[--all] [--state STATE] ${USAGE}`,
  summary: 'list grants and requests for them, the newest first',
  async run(args, terminal) {
    const options = { ...HTTP_OPTIONS, all: { type: 'boolean' }, state: { type: 'string' } } as const;
    const { values, positionals: rest } = parseCommandArgs(args, options);
    positionals(rest);
    const query = new URLSearchParams({
      ...(values.all && { all: 'true' }),
      ...(values.state !== undefined && { state: values.state }),
    });
    const answer = await askHttp(`/grants?${query.toString()}`, values, terminal);
    if ('exit' in answer) return answer.exit;
    terminal.out(values.json ? `${JSON.stringify(answer.value)}\n` : grantTable(answer.value));
    return EXIT.ok;
  },
};

function changeCommand(
  verb: 'approve' | 'deny' | 'revoke',
  summary: string,
  reason?: 'needed' | 'optional',
): Command {
  const words = { needed: '--reason TEXT ', optional: '[--reason TEXT] ', none: '' }[reason ?? 'none'];
  return {
    name: `grant ${verb}`,
    usage: `ID ${words}${USAGE}`,
    summary,
    async run(args, terminal) {
      const options = { ...HTTP_OPTIONS, ...(reason && { reason: { type: 'string' } as const }) };
      const { values, positionals: rest } = parseCommandArgs(args, options);
      const [id = ''] = positionals(rest, 'ID');
      if (!/^[0-9a-f-]{36}$/.test(id)) throw badUsage('ID', `'${id}' is not the id of a grant`);
      const text = 'reason' in values ? values.reason : undefined;
      if (reason === 'needed' && text === undefined) throw badUsage('--reason', 'is needed: why');
      const body = text === undefined ? {} : { reason: text };
      return await tellGrant(`/grants/${id}/${verb}`, values, terminal, body);
    },
  };
}

async function tellGrant(
  path: string,
  values: HttpOptions & { readonly json?: boolean | undefined },
  terminal: Terminal,
  body: object,
): Promise<number> {
  const answer = await askHttp(path, values, terminal, body);
  if ('exit' in answer) return answer.exit;
  terminal.out(values.json ? `${JSON.stringify(answer.value)}\n` : grantText(answer.value));
  return EXIT.ok;
}
