import { isRecord } from '../../pdp/external-json.ts';

const SYNTAX = /^(?:\/(?:[^~/]|~[01])*)*$/;

/** Whether a text is a JSON Pointer (RFC 6901 §3). The empty one points to the whole document. */
export function isJsonPointer(text: string): boolean {
  return SYNTAX.test(text);
}

/**
 * The value that a JSON Pointer points to (RFC 6901 §4); `undefined` where there is none, or null, which is absence too. Only own members
 * count.
 */
export function atPointer(document: unknown, pointer: string): unknown {
  let value = document;
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
    value = memberOf(value, name);
    if (value === undefined || value === null) return undefined;
  }
  return value ?? undefined;
}

function memberOf(value: unknown, name: string): unknown {
  if (Array.isArray(value))
    return /^(?:0|[1-9]\d{0,8})$/.test(name) ? (value[Number(name)] as unknown) : undefined;
  return isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** The pointer to a member of the document itself. */
export function memberPointer(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
