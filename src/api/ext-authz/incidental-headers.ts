/**
 * Header fields that say something about the client or the hop, and that nobody decides by. A question whose decision did read one of
 * them is not answered by its fingerprint (see `RecentAnswers`).
 */
export const INCIDENTAL_HEADERS: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'date',
  'if-modified-since',
  'if-none-match',
  'origin',
  'pragma',
  'priority',
  'referer',
  'sec-ch-ua',
  'sec-ch-ua-mobile',
  'sec-ch-ua-platform',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-fetch-user',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-b3-sampled',
  'x-b3-spanid',
  'x-b3-traceid',
  'x-request-id',
]);
