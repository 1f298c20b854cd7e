import { canonicalHost } from '../canonical.ts';
import { asciiLowerCase } from '../header-fields.ts';
import { CONDITION_FACTS, type Condition } from './conditions.ts';
import { type PathPattern, parseGrpcMethod, parsePathTemplate } from './path-pattern.ts';
import type { YamlValue } from './yaml-value.ts';

/** The requests that a binding is for. */
export interface Route {
  readonly pattern: PathPattern;
  readonly conditions: readonly Condition[];
}

const KEYS = ['method', 'host', 'service', 'path', 'grpc', 'headers', 'extensions'];
const MAX_VALUES = 100;

/** Reads the `match` of a binding; tells what is wrong with it. */
export function readMatch(match: YamlValue): Route | undefined {
  const fields = match.fields("'match'", KEYS);
  if (!fields) return undefined;
  const pattern = readPattern(match, fields);
  const conditions: (Condition | undefined)[] = [];
  const service = fields.get('service');
  const host = fields.get('host');
  const method = fields.get('method');
  if (service) conditions.push(readValues(service, 'service', serviceFault));
  if (host) conditions.push(readHosts(host));
  if (method) conditions.push(readValues(method, 'method', methodFault));
  // A gRPC call is a POST (gRPC over HTTP/2, "Requests").
  if (fields.has('grpc')) conditions.push(exactly('method', '', ['POST']));
  conditions.push(...readNamed(fields.get('extensions'), 'extension', () => undefined));
  conditions.push(...readNamed(fields.get('headers'), 'header', headerNameFault));
  const known = conditions.filter((condition) => condition !== undefined);
  if (!pattern || known.length < conditions.length) return undefined;
  return { pattern, conditions: inOrder(known) };
}

/** Sorted, so that conditions on the same facts stand in the same order in every binding. */
function inOrder(conditions: readonly Condition[]): Condition[] {
  const rank = ({ fact }: Condition) => CONDITION_FACTS.indexOf(fact);
  return conditions.toSorted((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1));
}

function readPattern(match: YamlValue, fields: ReadonlyMap<string, YamlValue>): PathPattern | undefined {
  const path = fields.get('path');
  const grpc = fields.get('grpc');
  const method = fields.get('method');
  if (grpc && path) return grpc.problem("'grpc' is a path of its own: leave out 'path'");
  if (grpc && method) return method.problem("'grpc' calls are always POST: leave out 'method'");
  const given = path ?? grpc;
  if (!given) return match.problem("'match' needs a 'path' or a 'grpc' method; '/**' is every path");
  const text = given.text(path ? "'path'" : "'grpc'");
  if (text === undefined) return undefined;
  const pattern = path ? parsePathTemplate(text) : parseGrpcMethod(text);
  return typeof pattern === 'string' ? given.problem(pattern) : pattern;
}

function exactly(fact: Condition['fact'], name: string, values: Iterable<string>): Condition {
  return { fact, name, values: new Set(values), suffixes: [], present: false };
}

function readValues(
  value: YamlValue,
  fact: Condition['fact'],
  faultOf: (text: string) => string | undefined,
  name = '',
): Condition | undefined {
  const texts = value.texts(name === '' ? `'${fact}'` : `the ${fact} '${name}'`);
  if (!texts) return undefined;
  if (texts.length > MAX_VALUES) return value.problem(`more than ${MAX_VALUES} values`);
  const seen = new Set<string>();
  let sound = true;
  for (const { value: item, text } of texts) {
    const fault = faultOf(text) ?? (seen.has(text) ? `'${text}' is given twice` : undefined);
    if (fault !== undefined) sound = false;
    if (fault !== undefined) item.problem(fault);
    seen.add(text);
  }
  return sound ? exactly(fact, name, seen) : undefined;
}

function readHosts(value: YamlValue): Condition | undefined {
  const condition = readValues(value, 'host', hostFault);
  if (!condition) return undefined;
  const hosts = [...condition.values];
  for (const host of hosts) {
    const wider = hosts.find(
      (other) => other !== host && other.startsWith('*') && host.endsWith(other.slice(1)),
    );
    if (wider !== undefined) return value.problem(`'${wider}' covers '${host}': leave that out`);
  }
  return {
    ...exactly(
      'host',
      '',
      hosts.filter((host) => !host.startsWith('*')),
    ),
    suffixes: hosts.filter((host) => host.startsWith('*')).map((host) => host.slice(1)),
  };
}

function readNamed(
  values: YamlValue | undefined,
  fact: 'header' | 'extension',
  nameFault: (name: string) => string | undefined,
): (Condition | undefined)[] {
  if (!values) return [];
  const fields = values.fields(`'${fact}s'`);
  if (!fields) return [undefined];
  return [...fields].map(([name, value]) => {
    const fault = name === '' ? `the ${fact} has no name` : nameFault(name);
    if (fault !== undefined) return value.problem(fault);
    return value.isMapping ? readPresence(value, fact, name) : readValues(value, fact, valueFault, name);
  });
}

function readPresence(value: YamlValue, fact: Condition['fact'], name: string): Condition | undefined {
  const fields = value.fields(`the ${fact} '${name}'`);
  if (fields?.size !== 1 || fields.get('present')?.scalar() !== true)
    return value.problem(`the ${fact} '${name}' takes values or '{ present: true }'`);
  return { ...exactly(fact, name, []), present: true };
}

function methodFault(method: string): string | undefined {
  if (/^[A-Z][A-Z0-9_-]{0,31}$/.test(method)) return undefined;
  const upper = method.toUpperCase();
  const hint = /^[A-Z][A-Z0-9_-]{0,31}$/.test(upper) ? `; write '${upper}'` : '';
  return `no request has the method '${method}': methods are in upper case${hint}`;
}

function hostFault(host: string): string | undefined {
  const wild = host.startsWith('*.');
  const name = wild ? `x${host.slice(1)}` : host;
  if (name.includes('*')) return `'${host}' may hold a star only as its first label: '*.example.com'`;
  const canonical = canonicalHost(name, 'https');
  if (typeof canonical !== 'string') return `no request has the host '${host}': ${canonical.detail}`;
  if (canonical !== name || canonicalHost(name, 'http') !== name) {
    const plain = canonical.replace(/:(?:80|443)$/, '');
    return `'${host}' is not in canonical form; write '${wild ? `*${plain.slice(1)}` : plain}'`;
  }
  return undefined;
}

// SPIFFE-ID §2: lower-case trust domain, path segments without '.' and '..', 2048 bytes at most.
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/;

function serviceFault(id: string): string | undefined {
  if (SPIFFE_ID.test(id) && id.length <= 2048) return undefined;
  return `'${id}' is not a SPIFFE ID like spiffe://example.org/ns/clinic/sa/records`;
}

function headerNameFault(name: string): string | undefined {
  const lower = asciiLowerCase(name);
  if (lower !== name) return `header names are in lower case; write '${lower}'`;
  // Servers fold '_' to '-', so a name with '_' is two names (CVE-2025-64484).
  if (name.includes('_')) return `header names with '_' are ambiguous; use '${name.replaceAll('_', '-')}'`;
  return /^[a-z0-9!#$%&'*+.^`|~-]+$/.test(name)
    ? undefined
    : `'${name}' is not a header name (RFC 9110 §5.1)`;
}

function valueFault(value: string): string | undefined {
  if (value === '') return 'an empty value says nothing; write { present: true } or leave it out';
  // Header values are taken apart at ',' before they are compared.
  return value !== value.trim() || value.includes(',')
    ? `'${value}' can never be met: a value holds no ',' and no outer space`
    : undefined;
}
