import { createRequire } from 'node:module';
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs';

/** cedar-wasm, loaded. */
export type Wasm = typeof CedarWasm;

const requireModule = createRequire(import.meta.url);
const MODULE = '@cedar-policy/cedar-wasm/nodejs';

let name: string | undefined;
/** Was asked for its versions, and for nothing else. */
let unused: Wasm | undefined;

/** Name and version of the engine and of the Cedar language, as records name them: what replay needs. */
export function engineName(): string {
  if (name !== undefined) return name;
  unused = newInstance();
  name = `cedar/${unused.getCedarVersion()} language/${unused.getCedarLangVersion()}`;
  return name;
}

/** An instance of its own: cedar-wasm keeps its state in the module, and dropping that from the cache and loading it again gives an independent one. */
export function newInstance(): Wasm {
  const instance = unused;
  unused = undefined;
  if (instance) return instance;
  delete requireModule.cache[requireModule.resolve(MODULE)];
  return requireModule(MODULE) as Wasm;
}
