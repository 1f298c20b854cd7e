import { isRecord } from '../../../pdp/external-json.ts';

/** One page of a query's results. */
export interface ScimPage {
  readonly totalResults: number;
  readonly resources: readonly Readonly<Record<string, unknown>>[];
}

const LIST_RESPONSE = 'urn:ietf:params:scim:api:messages:2.0:ListResponse';

/** Reads a `ListResponse` (RFC 7644 §3.4.2), or says what is wrong with it. */
export function readScimPage(json: unknown): ScimPage | { readonly problem: string } {
  if (!isRecord(json)) return { problem: 'is not an object' };
  const { schemas, totalResults, Resources: resources = [] } = json;
  if (!Array.isArray(schemas) || !schemas.includes(LIST_RESPONSE))
    return { problem: "is not a ListResponse by its '/schemas'" };
  if (!Number.isSafeInteger(totalResults) || Number(totalResults) < 0)
    return { problem: "has no whole number at '/totalResults'" };
  if (!Array.isArray(resources) || !resources.every((resource) => isRecord(resource)))
    return { problem: "has no list of resources at '/Resources'" };
  if (resources.length > Number(totalResults)) return { problem: "holds more than its '/totalResults' says" };
  return { totalResults: Number(totalResults), resources };
}
