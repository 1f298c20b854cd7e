import { Counter, Gauge, type Registry } from 'prom-client';

/** How it stands with the keys of an issuer. */
export interface IssuerKeys {
  /** The configured name of the issuer. */
  readonly name: string;
  /** Unix ms at which the source last confirmed the keys; `undefined` before the first time. */
  readonly lastSuccess: number | undefined;
  /** Refreshes that failed since the start. */
  readonly failures: number;
}

/** Registers the age of the keys of each issuer, and how often they could not be refreshed; `issuers` is read at scrape time. */
export function registerIssuerKeys(issuers: () => readonly IssuerKeys[], registers: Registry[]): void {
  confirmedKeys(issuers, registers);
  failedRefreshes(issuers, registers);
}

function confirmedKeys(issuers: () => readonly IssuerKeys[], registers: Registry[]): Gauge {
  return new Gauge({
    name: 'pdp_issuer_keys_confirmed_timestamp_seconds',
    help: 'When the source of the keys of an issuer last said which are in force: read or fetched; 0 if never.',
    labelNames: ['issuer'],
    registers,
    collect() {
      this.reset();
      for (const { name, lastSuccess = 0 } of issuers()) this.set({ issuer: name }, lastSuccess / 1000);
    },
  });
}

function failedRefreshes(issuers: () => readonly IssuerKeys[], registers: Registry[]): Counter {
  return new Counter({
    name: 'pdp_issuer_keys_refresh_failures_total',
    help: 'Refreshes of the keys of an issuer that failed; of a file, how often something new was wrong with it.',
    labelNames: ['issuer'],
    registers,
    collect() {
      this.reset();
      for (const { name, failures } of issuers()) this.inc({ issuer: name }, failures);
    },
  });
}
