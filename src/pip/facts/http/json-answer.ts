import { utf8Text } from '../../../pdp/bounded-fetch.ts';
import type { HttpAnswer } from './http-client.ts';

const JSON_TYPE = /^application\/(?:json|[a-z0-9.+!#$&^_-]+\+json)$/;

/** An answer as parsed JSON, or what is wrong with it, in words that hold nothing of it. */
export function parseJsonAnswer(
  answer: HttpAnswer,
): { readonly json: unknown } | { readonly problem: string } {
  const [type = '', ...parameters] = (answer.header('content-type') ?? '').toLowerCase().split(';');
  if (!JSON_TYPE.test(type.trim())) return { problem: 'answered with something else than JSON' };
  const charset = parameters.map((text) => text.trim()).find((text) => text.startsWith('charset='));
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset))
    return { problem: 'answered in another encoding than UTF-8' };
  if (answer.header('content-encoding') !== undefined)
    return { problem: 'answered with a content encoding that was not asked for' };
  try {
    return { json: JSON.parse(utf8Text(answer.body)) as unknown };
  } catch {
    return { problem: 'answered with text that is not JSON in UTF-8' };
  }
}
