const MAX_LENGTH = 120;

/** A stranger's text, quoted for an operator: at most 120 characters, nothing but printable ASCII. */
export function printable(text: string): string {
  const short = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}...` : text;
  return `'${short.replace(/[^ -~]/g, '?')}'`;
}

/** The values that would have been right. */
export function oneOf(values: readonly string[]): string {
  return values.map(printable).join(' or ');
}
