import { type Refusal, refuse } from '../../pdp/decision.ts';
import { utf8Text } from '../../pdp/bounded-fetch.ts';
import { externalJsonProblem, isRecord } from '../../pdp/external-json.ts';
import { duplicateKeyProblem } from '../../pdp/json-duplicates.ts';

/** Bounds of one message: a batch holds many questions, each of which is bounded again. */
const LIMITS = { maxNodes: 200_000 } as const;

/**
 * Reads the JSON object of a message (AuthZEN §10.1; I-JSON, RFC 7493): UTF-8, no name twice in one object, bounded nesting. What is none is
 * refused as `request_malformed`, in words for the caller that quote nothing of it. `apart`: the member whose items are each looked at by
 * {@link itemProblem}, so that one that is not accepted is no problem of the others.
 */
export function readJsonObject(
  contentType: string | undefined,
  body: unknown,
  apart?: string,
): { readonly json: Readonly<Record<string, unknown>> } | Refusal {
  const type = contentType?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') return malformed('the content type must be application/json');
  if (!(body instanceof Uint8Array) || body.length === 0) return malformed('the body is empty');
  let json: unknown;
  try {
    const text = utf8Text(body);
    json = JSON.parse(text);
    if (duplicateKeyProblem(text) !== undefined)
      return malformed('the body holds a key twice in one object, or one with a backslash');
  } catch {
    return malformed('the body is not JSON in UTF-8');
  }
  if (!isRecord(json)) return malformed('the body must be a JSON object');
  const problem = externalJsonProblem(apart === undefined ? json : without(json, apart), LIMITS);
  return problem === undefined ? { json } : malformed(`the body ${problem}`);
}

/** Why an item of the member that was kept apart is not accepted. */
export function itemProblem(item: unknown): Refusal | undefined {
  const problem = externalJsonProblem(item);
  return problem === undefined ? undefined : malformed(`the item ${problem}`);
}

function without(json: Readonly<Record<string, unknown>>, name: string): object {
  return Array.isArray(json[name])
    ? Object.fromEntries(Object.entries(json).filter(([key]) => key !== name))
    : json;
}

function malformed(words: string): Refusal {
  return refuse('request_malformed', words);
}
