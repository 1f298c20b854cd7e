import { readFileSync, realpathSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import type { CedarEntity, CedarRequest, CedarValue, EntityUid } from '../pdp/evaluation.ts';
import type { Problem } from '../pdp/errors.ts';
import { CedarCaseSchema } from './case-schema.ts';
import { parseEntityUid } from './entity-uid.ts';
import { type Part, readPart } from './schema-problems.ts';
import type { CedarCase } from './test-case.ts';

/** Reads a case in the format of `cedar run-tests`; adds its problems. `folder` is the policy set, which `entities` may not leave. */
export function readCedarCase(
  value: unknown,
  folder: string,
  part: Part,
  problems: Problem[],
): CedarCase | undefined {
  const read = readPart(CedarCaseSchema, value, part, problems);
  if (!read) return undefined;
  const complain = (path: string, message: string): undefined => {
    problems.push(
      part.source.problem([...part.path, ...path.split('.')], `${part.label}, ${path}: ${message}`),
    );
  };
  const uid = (key: 'principal' | 'action' | 'resource'): EntityUid | undefined =>
    parseEntityUid(read.request[key]) ??
    complain(`request.${key}`, 'is not an entity, which is written Type::"id"');
  const [principal, action, resource] = [uid('principal'), uid('action'), uid('resource')];
  const entities = entitiesOf(read.entities, part.source.file, folder);
  if (typeof entities === 'string') return complain('entities', entities);
  if (!principal || !action || !resource) return undefined;
  const context = read.request.context as CedarRequest['context'];
  return {
    form: 'cedar',
    name: read.name,
    file: part.source.file,
    request: { principal, action, resource, context, entities },
    expect: {
      decision: read.decision === 'allow' ? 'ALLOW' : 'DENY',
      reason: read.reason,
      errors: read.num_errors,
    },
    problem: (message) => part.source.problem(part.path, `${part.label}: ${message}`),
  };
}

/** The entities, given in place or as a path relative to the test file; or what is wrong with them. */
function entitiesOf(given: string | readonly object[], file: string, folder: string): CedarEntity[] | string {
  const list = typeof given === 'string' ? readEntities(given, file, folder) : given;
  if (typeof list === 'string') return list;
  const entities = list.map(entityOf);
  const bad = entities.indexOf(undefined);
  return bad === -1
    ? entities.filter((entity) => entity !== undefined)
    : `entity ${bad + 1} must be {uid: {type, id}, attrs: {…}, parents: [{type, id}, …]}`;
}

function readEntities(path: string, file: string, folder: string): object[] | string {
  try {
    const target = realpathSync(resolve(dirname(file), path));
    if (!target.startsWith(realpathSync(folder) + sep)) return `'${path}' is outside of the policy set`;
    const value: unknown = JSON.parse(readFileSync(target, 'utf8'));
    return Array.isArray(value) ? (value as object[]) : `'${path}' does not hold a JSON array`;
  } catch (error) {
    return `'${path}' cannot be read: ${(error as Error).message}`;
  }
}

function entityOf(value: object | null): CedarEntity | undefined {
  const { uid, attrs = {}, parents = [], tags } = (value ?? {}) as { readonly [key: string]: unknown };
  const own = uidOf(uid);
  if (!own || typeof attrs !== 'object' || attrs === null || !Array.isArray(parents)) return undefined;
  const uids = parents.map(uidOf);
  if (!uids.every((parent) => parent !== undefined)) return undefined;
  return {
    uid: own,
    attrs: attrs as { readonly [name: string]: CedarValue },
    parents: uids,
    ...(typeof tags === 'object' && tags !== null && { tags: tags as CedarEntity['attrs'] }),
  };
}

/** `{type, id}`, the same as `{__entity}`, or `Type::"id"`. */
function uidOf(value: unknown): EntityUid | undefined {
  if (typeof value === 'string') return parseEntityUid(value);
  const plain = (value as { __entity?: unknown } | null | undefined)?.__entity ?? value;
  const { type, id } = (plain ?? {}) as { type?: unknown; id?: unknown };
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined;
}
