import { z } from 'zod';
import type { EntityUid } from './evaluation.ts';
import type { Problem } from './errors.ts';
import type { SourceText } from './policy-source.ts';

const Uid = z.strictObject({ type: z.string().min(1), id: z.string() });
const Links = z.array(
  z.strictObject({
    template: z.string().min(1),
    id: z.string().regex(/^[A-Za-z0-9_.:/-]{1,128}$/, 'may only hold letters, digits and _ . : / -'),
    principal: Uid.optional(),
    resource: Uid.optional(),
  }),
);

/** Values for the slots of a template. */
export interface SlotValues {
  readonly '?principal'?: EntityUid;
  readonly '?resource'?: EntityUid;
}

/** A policy made of a template. */
export interface TemplateLink {
  readonly template: string;
  /** The id of the policy that the link makes. */
  readonly id: string;
  readonly values: SlotValues;
  /** File and position in it, for problems. */
  readonly where: string;
}

/** Reads `links.json`: an array of `{template, id, principal?: {type, id}, resource?: {type, id}}`. Adds what is wrong to the problems. */
export function readTemplateLinks(sources: readonly SourceText[], problems: Problem[]): TemplateLink[] {
  return sources.flatMap(({ file, text }) => {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (error) {
      problems.push({ where: file, message: `is not JSON: ${(error as Error).message}` });
      return [];
    }
    const parsed = Links.safeParse(json);
    if (!parsed.success) {
      problems.push(
        ...parsed.error.issues.map(({ path, message }) => ({ where: `${file}: ${path.join('.')}`, message })),
      );
      return [];
    }
    return parsed.data.map(({ template, id, principal, resource }, index) => ({
      template,
      id,
      values: { ...(principal && { '?principal': principal }), ...(resource && { '?resource': resource }) },
      where: `${file}: ${index}`,
    }));
  });
}
