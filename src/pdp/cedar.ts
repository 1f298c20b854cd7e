import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs';
import { type Wasm, newInstance } from './cedar-module.ts';
import type { CedarRequest, Evaluation } from './evaluation.ts';
import { PdpError } from './errors.ts';
import type { SchemaJson } from './schema-shape.ts';
import { type SliceNames, createSliceNames } from './slice-names.ts';
import type { ActionView } from './view/action-views.ts';

/** Cedar's word on one text, with the byte offset that it points at, where it points. */
export interface CedarComplaint {
  readonly message: string;
  /** UTF-8 byte offset into the text that was given. */
  readonly offset?: number;
}

/** A complaint about one policy of a set. */
export interface PolicyComplaint extends CedarComplaint {
  readonly policyId: string;
}

/** A policy in Cedar's JSON format, as far as we look at it. */
export interface ParsedPolicy {
  readonly effect: 'permit' | 'forbid';
  readonly annotations?: { readonly [name: string]: string | null };
}

/** Policies in the form that the engine takes: static ones by id, templates by id, and what links make of them. */
export interface PolicyTextSet {
  readonly policies: { readonly [id: string]: string };
  readonly templates?: { readonly [id: string]: string };
  readonly links?: readonly { readonly id: string; readonly template: string; readonly values: object }[];
}

/** A schema with policies. */
export interface CompiledTexts extends PolicyTextSet {
  readonly schema: string;
}

/** A part of the policy set that is evaluated as one. */
export interface Slice {
  /** Equal keys mean equal policies. */
  readonly key: string;
  /** Its policies; asked for only where the engine does not hold the slice yet. */
  load(): PolicyTextSet;
}

const WHOLE_SCHEMA = 'schema';

/** A call that is thrown out leaves some of the instance's stack behind: after about 1 500 of them any call would trap. */
const MAX_THROWN = 500;

/**
 * One instance of the Cedar engine (cedar-wasm) for one snapshot.
 *
 * The engine copies a loaded set on every call, so what is loaded are slices: the policies that can match, kept while they are in
 * use. WebAssembly code cannot see its own stack limit: input that is nested deeply enough traps, and a trapped instance fails every
 * later call. So each snapshot has its own instance, a trap denies the request it happened in, and the instance is replaced before
 * the next one.
 */
export class CedarEngine {
  readonly #schema: string;
  readonly #whole: Slice;
  #wasm: Wasm;
  #slices: SliceNames;
  /** The names of the schemas of views that the instance holds, by the views' keys; `undefined` where it did not take one. */
  #views = new Map<string, string | undefined>();
  /** It trapped, or is about to. */
  #unusable = false;
  #thrown = 0;
  /** How often the instance had to be replaced. */
  rebuilds = 0;

  private constructor(texts: CompiledTexts) {
    this.#schema = texts.schema;
    this.#whole = { key: 'whole', load: () => texts };
    this.#wasm = this.#instance();
    this.#slices = createSliceNames();
  }

  /** Takes texts that were validated before. Throws `PdpError` `engine_fault` where the engine cannot hold the schema. */
  static load(texts: CompiledTexts): CedarEngine {
    return new CedarEngine(texts);
  }

  /**
   * Evaluates one request against a slice, or against all policies that were loaded; the request is validated against the schema. With a
   * view the engine is told only what policies can read, unless it then refuses that: what counts is its word on the whole.
   * Throws `PdpError`: `engine_fault` on a trap, `attribute_refused` where the schema refuses the request's data.
   */
  evaluate(request: CedarRequest, slice: Slice = this.#whole, view?: ActionView): Evaluation {
    const answer = this.#call(() => {
      const narrow = view && this.#narrowed(request, view);
      const answered = narrow && this.#ask(narrow.request, slice, narrow.schema);
      return answered?.type === 'success' ? answered : this.#ask(request, slice, WHOLE_SCHEMA);
    });
    if (answer.type === 'failure') throw new PdpError('attribute_refused', messagesOf(answer.errors));
    const { decision, diagnostics } = answer.response;
    return {
      verdict: decision === 'allow' ? 'permit' : 'deny',
      // Cedar hands both out in random order.
      policies: diagnostics.reason.toSorted(),
      errors: [...new Set(diagnostics.errors.map((error) => error.policyId))].sort(),
    };
  }

  /** Loads a slice ahead of its first use. Throws `PdpError` `engine_fault`. */
  prepareSlice(slice: Slice): void {
    this.#call(() => this.#loaded(slice));
  }

  /** Loads what a view needs ahead of its first use. Throws `PdpError` `engine_fault` on a trap. */
  prepare(view: ActionView): void {
    this.#call(() => this.#viewSchema(view));
  }

  #ask(request: CedarRequest, slice: Slice, schema: string): CedarWasm.AuthorizationAnswer {
    return this.#wasm.statefulIsAuthorized({
      ...(request as object as Pick<CedarWasm.StatefulAuthorizationCall, keyof CedarRequest>),
      preparsedSchemaName: schema,
      validateRequest: true,
      preparsedPolicySetId: this.#loaded(slice),
    });
  }

  #narrowed(
    request: CedarRequest,
    view: ActionView,
  ): { readonly request: CedarRequest; readonly schema: string } | undefined {
    const told = view.narrowed(request);
    const schema = told && this.#viewSchema(view);
    return told && schema !== undefined ? { request: told, schema } : undefined;
  }

  /** The name under which the instance holds the schema of a view; `undefined` where it does not take it. */
  #viewSchema(view: ActionView): string | undefined {
    const { key } = view;
    const known = this.#views.get(key);
    if (known !== undefined || this.#views.has(key)) return known;
    const name = `view-${this.#views.size}`;
    const answer = this.#wasm.preparseSchema(name, view.schema() as CedarWasm.Schema);
    const held = answer.type === 'success' ? name : undefined;
    this.#views.set(key, held);
    return held;
  }

  #call<T>(run: () => T): T {
    this.#heal();
    try {
      return run();
    } catch (error) {
      if (error instanceof PdpError) throw error;
      const trapped = isTrap(error);
      this.#thrown += 1;
      this.#unusable = trapped || this.#thrown >= MAX_THROWN;
      const what = trapped ? 'trapped' : 'refused the call';
      throw new PdpError('engine_fault', `Cedar ${what}: ${String(error)}`, { cause: error });
    }
  }

  /** The name under which the instance holds the slice, after loading it where needed. */
  #loaded(slice: Slice): string {
    const { key } = slice;
    const known = this.#slices.get(key);
    if (known !== undefined) return known;
    const set = slice.load();
    const size = Object.keys(set.policies).length + (set.links?.length ?? 0);
    const name = this.#slices.take(key, size);
    const answer = this.#wasm.preparsePolicySet(name, wasmPolicySet(set));
    if (answer.type === 'success') return name;
    this.#slices.drop(key);
    throw new PdpError('engine_fault', messagesOf(answer.errors));
  }

  #heal(): void {
    if (!this.#unusable) return;
    this.#wasm = this.#instance();
    this.#slices = createSliceNames();
    this.#views = new Map();
    this.#unusable = false;
    this.#thrown = 0;
    this.rebuilds += 1;
  }

  #instance(): Wasm {
    const wasm = newInstance();
    const answer = wasm.preparseSchema(WHOLE_SCHEMA, this.#schema);
    if (answer.type === 'failure') throw new PdpError('engine_fault', messagesOf(answer.errors));
    return wasm;
  }
}

function wasmPolicySet({ policies, templates = {}, links = [] }: PolicyTextSet): CedarWasm.PolicySet {
  return {
    staticPolicies: policies,
    templates,
    templateLinks: links.map(({ id, template, values }) => ({
      templateId: template,
      newId: id,
      values: values as Record<string, CedarWasm.EntityUid>,
    })),
  };
}

/**
 * Checks texts, in an instance of its own that is thrown away: whatever is wrong with them cannot hurt what is being served.
 * Every method reports a trap as a complaint.
 */
export class CedarChecker {
  #wasm: Wasm = newInstance();

  /** Parses a schema in Cedar's own syntax. */
  schema(text: string): { readonly json: SchemaJson } | { readonly complaints: readonly CedarComplaint[] } {
    return this.#guard(() => {
      const answer = this.#wasm.schemaToJsonWithResolvedTypes(text);
      return answer.type === 'success'
        ? { json: answer.json }
        : { complaints: answer.errors.map(complaintOf) };
    });
  }

  /** Parses one policy statement. */
  policy(text: string): { readonly json: ParsedPolicy } | { readonly complaints: readonly CedarComplaint[] } {
    return this.#guard(() => {
      const answer = this.#wasm.policyToJson(text);
      return answer.type === 'success'
        ? { json: answer.json }
        : { complaints: answer.errors.map(complaintOf) };
    });
  }

  /** Parses one template: a policy with slots. */
  template(
    text: string,
  ): { readonly json: ParsedPolicy } | { readonly complaints: readonly CedarComplaint[] } {
    return this.#guard(() => {
      const answer = this.#wasm.templateToJson(text);
      return answer.type === 'success'
        ? { json: answer.json }
        : { complaints: answer.errors.map(complaintOf) };
    });
  }

  /** Validates parsed policies against the schema, in strict mode. */
  validate(texts: CompiledTexts): {
    readonly errors: readonly PolicyComplaint[];
    readonly warnings: readonly PolicyComplaint[];
  } {
    const result = this.#guard(() => {
      const answer = this.#wasm.validate({
        validationSettings: { mode: 'strict' },
        schema: texts.schema,
        policies: wasmPolicySet(texts),
      });
      if (answer.type === 'failure') return { complaints: answer.errors.map(complaintOf) };
      return {
        errors: answer.validationErrors.map(policyComplaintOf),
        warnings: answer.validationWarnings.map(policyComplaintOf),
      };
    });
    if (!('complaints' in result)) return result;
    return { errors: result.complaints.map((complaint) => ({ ...complaint, policyId: '' })), warnings: [] };
  }

  /** Checks entities against the schema. */
  entities(entities: readonly object[], schema: string): readonly CedarComplaint[] {
    const result = this.#guard(() => {
      const answer = this.#wasm.checkParseEntities({ entities: entities as CedarWasm.Entities, schema });
      return { complaints: answer.type === 'failure' ? answer.errors.map(complaintOf) : [] };
    });
    return result.complaints;
  }

  /** Formats a policy file as `cedar format` does; `width` in columns. */
  format(
    text: string,
    width: number,
  ): { readonly text: string } | { readonly complaints: readonly CedarComplaint[] } {
    return this.#guard(() => {
      const answer = this.#wasm.formatPolicies({ policyText: text, lineWidth: width, indentWidth: 2 });
      return answer.type === 'success'
        ? { text: answer.formatted_policy }
        : { complaints: answer.errors.map(complaintOf) };
    });
  }

  /** Writes a policy in Cedar's JSON format as text. */
  policyText(json: object): { readonly text: string } | { readonly complaints: readonly CedarComplaint[] } {
    return this.#guard(() => {
      const answer = this.#wasm.policyToText(json as CedarWasm.PolicyJson);
      return answer.type === 'success'
        ? { text: answer.text }
        : { complaints: answer.errors.map(complaintOf) };
    });
  }

  /** What the policies and templates of a file mean, each as JSON text, in an order that only depends on them. */
  meanings(
    text: string,
  ): { readonly meanings: readonly string[] } | { readonly complaints: readonly CedarComplaint[] } {
    return this.#guard(() => {
      const parts = this.#wasm.policySetTextToParts(text);
      if (parts.type === 'failure') return { complaints: parts.errors.map(complaintOf) };
      const answers = [
        ...parts.policies.map((policy) => this.#wasm.policyToJson(policy)),
        ...parts.policy_templates.map((template) => this.#wasm.templateToJson(template)),
      ];
      const failed = answers.find((answer) => answer.type === 'failure');
      if (failed) return { complaints: failed.errors.map(complaintOf) };
      return { meanings: answers.map((answer) => JSON.stringify(answer)).sort() };
    });
  }

  /**
   * Evaluates permits against one request, each for itself; they need not be valid, only well-formed. Tells which hold, and of
   * those that cannot be evaluated why. Complains where the engine refuses the request or any of the policies.
   */
  holding(
    permits: { readonly [id: string]: object | string },
    schema: string,
    request: CedarRequest,
  ):
    | { readonly holding: ReadonlySet<string>; readonly errors: ReadonlyMap<string, string> }
    | { readonly complaints: readonly CedarComplaint[] } {
    return this.#guard(() => {
      const answer = this.#wasm.isAuthorized({
        ...(request as object as Pick<CedarWasm.AuthorizationCall, keyof CedarRequest>),
        schema,
        validateRequest: true,
        policies: { staticPolicies: permits as Record<string, CedarWasm.Policy> },
      });
      if (answer.type === 'failure') return { complaints: answer.errors.map(complaintOf) };
      const { reason, errors } = answer.response.diagnostics;
      return {
        // Without a forbid, every permit that holds is a reason.
        holding: new Set(reason),
        errors: new Map(errors.map(({ policyId, error }) => [policyId, error.message])),
      };
    });
  }

  #guard<T extends object>(run: () => T): T | { complaints: CedarComplaint[] } {
    try {
      return run();
    } catch (error) {
      if (!isTrap(error)) return { complaints: [{ message: String(error) }] };
      // A trapped instance would fail on the next text too, whatever it says.
      this.#wasm = newInstance();
      return { complaints: [{ message: 'it is nested deeper or chained longer than the engine can hold' }] };
    }
  }
}

function isTrap(error: unknown): boolean {
  // The JS side of a stack overflow is a RangeError; the instance is just as unusable afterwards.
  return error instanceof Error && (error.name === 'RuntimeError' || error instanceof RangeError);
}

function complaintOf(error: CedarWasm.DetailedError): CedarComplaint {
  const location = error.sourceLocations?.[0];
  const expected = location?.label ? ` (${location.label})` : '';
  const help = error.help ? `; ${error.help}` : '';
  return { message: `${error.message}${expected}${help}`, ...(location && { offset: location.start }) };
}

function policyComplaintOf(error: CedarWasm.ValidationError): PolicyComplaint {
  return { ...complaintOf(error.error), policyId: error.policyId };
}

function messagesOf(errors: readonly CedarWasm.DetailedError[]): string {
  return errors.map((error) => error.message).join('; ');
}
