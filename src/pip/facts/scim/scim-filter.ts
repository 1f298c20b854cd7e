/** An attribute path that a filter may name (RFC 7644 §3.10): an attribute, with a schema before it and a sub-attribute after it. */
const ATTRIBUTE_PATH = /^(?:urn:[A-Za-z0-9._:-]+:)?[A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)?$/;

/** Whether a text is an attribute path (RFC 7644 §3.10). */
export function isAttributePath(text: string): boolean {
  return ATTRIBUTE_PATH.test(text);
}

/**
 * The filter `<attribute> eq "<value>"` (RFC 7644 §3.4.2.2). The value is written as a JSON string, as the grammar's `compValue` has it, so that it
 * cannot end before its end. Throws a `TypeError` for what is no attribute path, and for text with a lone surrogate.
 */
export function equalsFilter(attribute: string, value: string): string {
  if (!isAttributePath(attribute)) throw new TypeError('not an attribute path');
  if (!value.isWellFormed()) throw new TypeError('not well-formed text');
  return `${attribute} eq ${JSON.stringify(value)}`;
}
