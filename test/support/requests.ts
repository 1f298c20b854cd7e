import { encodeCheckRequest } from '../../src/api/ext-authz/client.ts';
import { loadExtAuthzTypes } from '../../src/api/protos.ts';
import type { AccessRequest, Peer } from '../../src/pdp/access-request.ts';
import { HeaderFields } from '../../src/pdp/header-fields.ts';

/** SPIFFE IDs of the sample scenarios. */
export const PAYMENT_API = 'spiffe://prod.example.com/ns/payments/sa/payment-api';
export const LEDGER_API = 'spiffe://prod.example.com/ns/ledger/sa/ledger-api';
export const WEB = 'spiffe://prod.example.com/ns/frontend/sa/web';
export const DASHBOARD_APP = 'spiffe://prod.example.com/ns/finance/sa/dashboard-app';
export const REPORTS_API = 'spiffe://prod.example.com/ns/finance/sa/reports-api';

/** What is special about one question. */
export interface RequestOptions {
  readonly source?: string;
  readonly destination?: string;
  readonly ip?: string;
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly scheme?: string;
  /** In order, duplicates included. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly sni?: string;
  readonly contextExtensions?: Readonly<Record<string, string>>;
}

function peer(principal: string, ip?: string): Peer {
  return { principal, certificate: '', service: '', ...(ip !== undefined && { ip, port: 4711 }) };
}

/** A question: the payment API posts an entry to the ledger, unless said otherwise. The sample policies permit it. */
export function accessRequest(options: RequestOptions = {}): AccessRequest {
  return {
    source: peer(options.source ?? PAYMENT_API, options.ip),
    destination: peer(options.destination ?? LEDGER_API),
    http: {
      method: options.method ?? 'POST',
      path: options.path ?? '/internal/entries',
      host: options.host ?? 'ledger-api.ledger',
      scheme: options.scheme ?? 'https',
      protocol: 'HTTP/2',
      headers: new HeaderFields(options.headers ?? [], false),
      size: -1,
    },
    streamId: '1',
    sni: options.sni ?? '',
    contextExtensions: new Map(Object.entries(options.contextExtensions ?? {})),
    metadata: new Map(),
  };
}

/** Our ext_authz message types. */
export const EXT_AUTHZ_TYPES = loadExtAuthzTypes();

/** A question as the bytes of a CheckRequest. */
export function checkRequestBytes(options: RequestOptions = {}): Buffer {
  return encodeCheckRequest(accessRequest(options), EXT_AUTHZ_TYPES.CheckRequest);
}
