import { loadConfig } from '../config/file.ts';
import { isPlaintext } from '../config/surfaces.ts';
import { isRecord } from '../pdp/external-json.ts';
import { type ServerAnswer, type ServerTarget, askServer, badUsage, readTokenFile } from './ask-server.ts';
import { CONFIG_OPTION, EXIT, type Terminal, configPath } from './command.ts';

/** The options of commands that a user gives to a running server. */
export const HTTP_OPTIONS = {
  ...CONFIG_OPTION,
  http: { type: 'string' },
  'token-file': { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** Their values. */
export interface HttpOptions {
  readonly config?: string | undefined;
  readonly http?: string | undefined;
  readonly 'token-file'?: string | undefined;
}

const DEFAULT_ADDRESS = '127.0.0.1:8181';

/**
 * Asks the HTTP surface of a running server in the name of the user whose token `--token-file` holds: where `--http` says, else where the configuration
 * says it listens; over mutual TLS where the configuration has it so. Tells refusals. Throws `InputError` for bad options, a token that cannot be read, and
 * an address that is none.
 */
export function askHttp(
  path: string,
  options: HttpOptions,
  terminal: Terminal,
  body?: object,
): Promise<ServerAnswer> {
  return askServer(targetOf(options), { path, exitOf, wordsOf, ...(body && { body }) }, terminal);
}

/** What is not allowed, or not as things stand; asked wrongly; or broken. */
function exitOf(status: number): number {
  if (status === 403 || status === 409 || status === 429) return EXIT.no;
  return status < 500 ? EXIT.usage : EXIT.unchecked;
}

/** The words of a problem (RFC 9457). */
function wordsOf(text: string): string {
  try {
    const problem: unknown = JSON.parse(text);
    const words = isRecord(problem) ? (problem['detail'] ?? problem['title']) : undefined;
    return typeof words === 'string' ? words : text;
  } catch {
    return text;
  }
}

function targetOf({ config: configOption, http, 'token-file': tokenFile }: HttpOptions): ServerTarget {
  // `--http` alone is a plaintext address, whatever configuration lies about here.
  const file = http === undefined ? configPath(configOption) : configOption;
  // Its warnings are for those who serve with it.
  const config = file === undefined ? undefined : loadConfig(file, process.env).config;
  if (tokenFile === undefined) throw badUsage('--token-file', 'is needed: it says who asks');
  return {
    option: '--http',
    address: http ?? config?.http.address ?? DEFAULT_ADDRESS,
    token: readTokenFile(tokenFile),
    spiffe: config && !isPlaintext('http', config.http) ? config.spiffe : undefined,
  };
}
