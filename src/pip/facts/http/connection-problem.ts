import { TooLongError } from '../../../pdp/bounded-fetch.ts';
import { PdpError } from '../../../pdp/errors.ts';
import { WrongAnswerError } from '../source-guard.ts';

const SLOW = 'did not answer in time';
const BROKEN = 'closed the connection';

const WORDS: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: SLOW,
  UND_ERR_HEADERS_TIMEOUT: SLOW,
  UND_ERR_BODY_TIMEOUT: SLOW,
  ETIMEDOUT: SLOW,
  ECONNREFUSED: 'refused the connection',
  ECONNRESET: BROKEN,
  EPIPE: BROKEN,
  UND_ERR_SOCKET: BROKEN,
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
  ENOTFOUND: 'has a host name that does not resolve',
  EAI_AGAIN: 'has a host name that cannot be resolved now',
  UND_ERR_HEADERS_OVERFLOW: 'answered with too many headers',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'answered with a body of another length than it said',
  ERR_TLS_CERT_ALTNAME_INVALID: 'showed a certificate for another host',
  CERT_HAS_EXPIRED: 'showed a certificate that has expired',
  CERT_NOT_YET_VALID: 'showed a certificate that is not valid yet',
};

/** Codes of OpenSSL for chains that lead to no authority that is trusted. */
const UNTRUSTED = /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|INVALID_CA|CERT_)/;

function isWrong(error: unknown): boolean {
  if (error instanceof TooLongError) return true;
  return error instanceof Error && (error.name === 'HTTPParserError' || WRONG.has(codeOf(error) ?? ''));
}

/** Codes of errors by which a server has answered, and wrongly. */
const WRONG = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);

/** Statuses beside 5xx by which a server says that it cannot answer anybody now. */
const UNAVAILABLE = new Set([408, 425, 429]);

/** The failure to use a status, in words that stand after the server's name. */
export function statusProblem(status: number): PdpError {
  const problem = `answered with status ${status}`;
  return status >= 500 || UNAVAILABLE.has(status)
    ? new PdpError('attribute_unavailable', problem)
    : new WrongAnswerError(problem);
}

/** The failure of a question, in words that stand after the server's name. */
export function questionProblem(error: unknown): PdpError {
  if (error instanceof PdpError) return error;
  const problem = connectionProblem(error);
  return isWrong(error) ? new WrongAnswerError(problem) : new PdpError('attribute_unavailable', problem);
}

/**
 * What went wrong with a connection, to stand after its name. Of errors that are not our own only their code is told: their
 * messages may quote what was sent.
 */
export function connectionProblem(error: unknown): string {
  const name = error instanceof Error ? error.name : undefined;
  if (name === 'HTTPParserError') return 'did not answer in HTTP';
  const code = codeOf(error);
  if (code === undefined)
    return error instanceof Error && name === 'Error' ? error.message : 'cannot be asked';
  const words = WORDS[code];
  if (words !== undefined) return words;
  if (UNTRUSTED.test(code)) return `showed a certificate that is not trusted (${code})`;
  return /SSL|TLS/.test(code) ? `ended the TLS handshake (${code})` : `cannot be asked (${code})`;
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
