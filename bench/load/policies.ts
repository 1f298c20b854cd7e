import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SAMPLES = fileURLToPath(new URL('../../policies', import.meta.url));
const REPORTS = 'ZeroTrust::Service::"spiffe://prod.example.com/ns/finance/sa/reports-api"';
const LEDGER = 'ZeroTrust::Service::"spiffe://prod.example.com/ns/ledger/sa/ledger-api"';
const PAYMENTS = 'ZeroTrust::Workload::"spiffe://prod.example.com/ns/payments/sa/payment-api"';
/** Services that the other policies are about. */
const SERVICES = 200;

/**
 * Exactly `count` policies: one permits what the cold requests ask for, the others are those of a fleet: about other services,
 * for users, groups and paths of their own.
 */
export function policiesText(count: number): string {
  const ours = `@id("bench.ours") permit(principal in ZeroTrust::Group::"Finance", action == ZeroTrust::Action::"GET", resource in ${REPORTS}) when { resource.path == "/api/reports/quarterly" && context has device && context.device has compliant && context.device.compliant };`;
  return [ours, ...Array.from({ length: count - 1 }, (_, n) => other(n))].join('\n');
}

function other(n: number): string {
  const service = `ZeroTrust::Service::"spiffe://prod.example.com/ns/team-${n % SERVICES}/sa/api"`;
  const principal =
    n % 2 === 0
      ? `principal in ZeroTrust::Group::"team-${n % SERVICES}"`
      : `principal == ZeroTrust::User::"bench/x${n}"`;
  return `@id("bench.p${n}") permit(${principal}, action == ZeroTrust::Action::"GET", resource in ${service}) when { context has device && context.device has compliant && context.device.compliant && resource.path like "/api/${n}/*" };`;
}

/** Writes a set of `count` policies into `folder`. */
export function writePolicySet(folder: string, count: number): string {
  return writeSet(folder, policiesText(count));
}

/** The finance policies, with any path below `/api/reports/` permitted to whom the quarterly report is. */
export function writeOpenReports(folder: string): string {
  return writeSet(folder, openReports());
}

/** As `writeOpenReports`, with any path below `/internal/entries/` permitted to whom the entries are. */
export function writeOpenPaths(folder: string): string {
  const entries = `@id("bench.entries") permit(principal, action == ZeroTrust::Action::"POST", resource in ${LEDGER}) when { context has source && context.source == ${PAYMENTS} && resource.path like "/internal/entries/*" };`;
  return writeSet(folder, `${openReports()}\n${entries}`);
}

function openReports(): string {
  const finance = readFileSync(join(SAMPLES, 'finance-dashboard/finance-dashboard.cedar'), 'utf8');
  const open = `@id("bench.reports") permit(principal in ZeroTrust::Group::"Finance", action == ZeroTrust::Action::"GET", resource in ${REPORTS}) when { resource.path like "/api/reports/*" };`;
  return `${finance}\n${open}\n${mesh()}`;
}

function mesh(): string {
  return readFileSync(join(SAMPLES, 'mesh-call/mesh-call.cedar'), 'utf8');
}

function writeSet(folder: string, text: string): string {
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(SAMPLES, 'schema.cedarschema'), join(folder, 'schema.cedarschema'));
  writeFileSync(join(folder, 'bench.cedar'), text);
  return folder;
}
