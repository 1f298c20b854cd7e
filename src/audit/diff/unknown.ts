import type { PolicyReads } from '../../pdp/policy-reads.ts';

/** Something that the new policies may see and that is not in the log: they never read it then. */
export interface Unknown {
  /** `context.ip`, `ZeroTrust::User.department`. Never a value, never who. */
  readonly name: string;
  /** Without it the engine takes no question at all. */
  readonly required: boolean;
  /** Of unknown parents: the type of what has them, and the types that they are of or below of. */
  readonly parents?: { readonly of: string; readonly above: ReadonlySet<string> };
  /** Whether what a policy reads depends on it. */
  isReadBy(reads: PolicyReads): boolean;
}

/** Something of the context. */
export function unknownContext(path: readonly string[], required: boolean): Unknown {
  const [top = ''] = path;
  return {
    name: ['context', ...path].join('.'),
    required,
    isReadBy: (reads) =>
      reads.wholeContext || (reads.contextKeys.has(top) && (path.length === 1 || readsWithin(path, reads))),
  };
}

/** Something of the attributes of entities of a type. */
export function unknownAttribute(type: string, path: readonly string[], required: boolean): Unknown {
  const [top = ''] = path;
  return {
    name: [type, ...path].join('.'),
    required,
    isReadBy: (reads) => reads.attributes.has(top) && (path.length === 1 || readsWithin(path, reads)),
  };
}

/** Parents of one type. `above`: the types that static entities put above it. */
export function unknownParents(type: string, parents: string, above: ReadonlySet<string>): Unknown {
  return {
    name: `${type} in ${parents}`,
    required: false,
    parents: { of: type, above },
    isReadBy: ({ anyAncestor, entityTypes }) =>
      anyAncestor || [...above].some((named) => entityTypes.has(named)),
  };
}

/** Attribute names are read wherever they hang; a record above may be read as a whole. */
function readsWithin(path: readonly string[], { attributes, wholeAttributes }: PolicyReads): boolean {
  return attributes.has(path.at(-1) ?? '') || path.some((name) => wholeAttributes.has(name));
}
