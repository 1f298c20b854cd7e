/** What information points are asked about under the address that a request came from. */
export const IP_SUBJECT = 'ip';

/** The context attribute that holds what they know of it. */
export const IP_FACTS = 'ip_facts';
