/** A decoded `google.protobuf.Struct`. */
export interface WireStruct {
  /** Null: the field came without a value. */
  readonly fields: { readonly [name: string]: WireValue | null };
}

interface WireValue {
  readonly kind?: 'nullValue' | 'numberValue' | 'stringValue' | 'boolValue' | 'structValue' | 'listValue';
  readonly numberValue?: number;
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly structValue?: WireStruct;
  readonly listValue?: { readonly values: readonly WireValue[] };
}

/** A Struct as plain JSON. */
export function structOf(struct: WireStruct | null | undefined): Record<string, unknown> {
  // No prototype: keys come from tokens and requests (the class of CVE-2023-36665).
  const record = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(struct?.fields ?? {})) record[name] = valueOf(value);
  return record;
}

function valueOf(value: WireValue | null): unknown {
  switch (value?.kind) {
    case 'numberValue':
    case 'stringValue':
    case 'boolValue':
      return value[value.kind];
    case 'structValue':
      return structOf(value.structValue);
    case 'listValue':
      return value.listValue?.values.map(valueOf) ?? [];
    default:
      return null;
  }
}
