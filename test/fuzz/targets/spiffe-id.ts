import { normalisePrincipal, parseSpiffeId } from '../../../src/pip/spiffe/spiffe-id.ts';
import { type FuzzTarget, bytesOf, latin1, must } from '../engine/target.ts';

/** SPIFFE-ID §2 with a path, scheme and trust domain in lower case, written down once more. */
export const SPIFFE_ID = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+)$/;

/** SPIFFE IDs and principals. */
export function spiffeIdTarget(): FuzzTarget {
  return {
    name: 'spiffe-id',
    promise: 'Exactly what the grammar of SPIFFE IDs accepts is one, and its parts make it up.',
    covers: ['src/pip/spiffe/spiffe-id.ts'],
    seeds: [
      'spiffe://prod.example.com/ns/a/sa/b',
      'prod.example.com/ns/a/sa/b',
      'spiffe://a/b/../c',
      'spiffe://A/b',
      'spiffe://a',
      'spiffe://a/.../-_',
    ].map(bytesOf),
    dictionary: [
      'spiffe://',
      '/',
      '//',
      '/./',
      '/../',
      '.',
      '..',
      '...',
      '/ns/',
      '/sa/',
      ':',
      '@',
      '%2F',
      '?',
      '#',
      '\\',
      'A',
      '_',
    ],
    maxBytes: 2100,
    run(input) {
      const text = latin1(input);
      const parsed = parseSpiffeId(text);
      const written = text.length <= 2048 ? SPIFFE_ID.exec(text) : null;
      must('invalid' in parsed === (written === null), `the grammar says otherwise of '${text}'`);
      mustNormalise(text);
      if ('invalid' in parsed) return parsed.invalid.replace(/'.*'/, '');
      must(
        parsed.id === text && `spiffe://${parsed.trustDomain}${parsed.path}` === text,
        `'${text}' is not its parts`,
      );
      const { namespace, serviceAccount } = parsed;
      const names = namespace === undefined ? undefined : `/ns/${namespace}/sa/${serviceAccount ?? ''}`;
      must(names === undefined || names === parsed.path, `'${text}' has the names of another`);
      return names === undefined ? 'accepted' : 'accepted with names';
    },
  };
}

function mustNormalise(text: string): void {
  const principal = normalisePrincipal(text);
  if ('invalid' in principal) return;
  must([text, `spiffe://${text}`].includes(principal.id), `'${text}' became '${principal.id}'`);
  must(SPIFFE_ID.test(principal.id), `the principal '${text}' is no SPIFFE ID`);
}
