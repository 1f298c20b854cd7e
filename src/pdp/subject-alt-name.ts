/**
 * The URI names in a certificate's subject alternative name, from Node's comma-joined text. `undefined` where it cannot be told for
 * certain: Node quotes values that hold commas (CVE-2021-44532), and no SPIFFE ID ever needs that.
 */
export function uriNames(subjectAltName: string | undefined): readonly string[] | undefined {
  if (subjectAltName === undefined) return [];
  if (subjectAltName.includes('"')) return undefined;
  const names = subjectAltName.split(', ').filter((name) => name.startsWith('URI:'));
  return names.map((name) => name.slice('URI:'.length));
}
