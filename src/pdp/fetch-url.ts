/**
 * Why nothing may be fetched from this URL; `undefined` where it may. Plain HTTP is for loopback addresses only, and credentials in a
 * URL end up in logs.
 */
export function fetchUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return 'is not a URL';
  if (url.username !== '' || url.password !== '') return 'holds credentials';
  if (url.protocol === 'https:') return undefined;
  return url.protocol === 'http:' && isLoopback(url.hostname) ? undefined : 'is not https';
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
