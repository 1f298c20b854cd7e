/** Paths of the APIs (AuthZEN §10.1), below the base URL. */
export const AUTHZEN_PATHS = {
  evaluation: '/access/v1/evaluation',
  evaluations: '/access/v1/evaluations',
  subjects: '/access/v1/search/subject',
  resources: '/access/v1/search/resource',
  actions: '/access/v1/search/action',
} as const;

/** Where the metadata is (AuthZEN §9.2). */
export const METADATA_PATH = '/.well-known/authzen-configuration';

/**
 * The metadata of the decision point (AuthZEN §9.1). `base`: the URL by which callers know us, from the configuration; whatever a request says of
 * its host counts for nothing.
 */
export function authzenMetadata(base: string): object {
  return {
    policy_decision_point: base,
    access_evaluation_endpoint: `${base}${AUTHZEN_PATHS.evaluation}`,
    access_evaluations_endpoint: `${base}${AUTHZEN_PATHS.evaluations}`,
    search_subject_endpoint: `${base}${AUTHZEN_PATHS.subjects}`,
    search_resource_endpoint: `${base}${AUTHZEN_PATHS.resources}`,
    search_action_endpoint: `${base}${AUTHZEN_PATHS.actions}`,
  };
}

/** Where the metadata is served: also before the path of the base URL, where it has one, which is where callers look (AuthZEN §9.2.1). */
export function metadataPaths(base: string): readonly string[] {
  const { pathname } = new URL(base);
  return /^\/[\w.~-]+(?:\/[\w.~-]+)*$/.test(pathname)
    ? [METADATA_PATH, `${METADATA_PATH}${pathname}`]
    : [METADATA_PATH];
}
