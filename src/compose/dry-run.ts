import { readFile } from 'node:fs/promises';
import { auditProblems } from './dry-run-audit.ts';
import { pipProblems } from './dry-run-pips.ts';
import { inputProblems } from './input-problems.ts';
import { openKeyFolder } from '../api/onward/key-folder.ts';
import { openGate, openTokenCheck } from '../api/ops/ops-admin.ts';
import { LOOPBACK } from '../config/rules.ts';
import type { RedisServerConfig } from '../config/redis.ts';
import type { Config } from '../config.ts';
import { readVerifyingKey } from '../pdp/bundle/signature.ts';
import type { Problem } from '../pdp/errors.ts';
import type { Clock } from '../pdp/ports.ts';
import type { TrustBundle } from '../pdp/x509-svid.ts';
import { fileProblem } from '../pip/polled-file.ts';
import { readShutOffs } from '../pip/revocation/shut-off-file.ts';
import { readBundleFile } from '../pip/spiffe/bundle/bundle-document.ts';
import { readOwnSvid } from '../pip/spiffe/own-svid.ts';
import { parseSpiffeId } from '../pip/spiffe/spiffe-id.ts';
import { createSubjectReader } from './subject-reader.ts';
import { findWorkloadApiEndpoint } from '../pip/spiffe/workload-api/workload-api-endpoint.ts';

/** What a dry run is made with. */
export interface DryRunParts {
  readonly clock: Clock;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

type Spiffe = NonNullable<Config['spiffe']>;
type Problems = readonly Problem[];

/**
 * Reads, as serving would, the files that it cannot do without: our SVID and the trust bundles, keys, tokens and passwords, and looks at the folder of the decision log. Nothing is
 * kept, opened or fetched. The problems, by the key of the configuration that names the file; none where all is well. Never rejects.
 */
export async function dryRun(config: Config, parts: DryRunParts): Promise<Problems> {
  const { spiffe, ops, onward_identity: onward } = config;
  const gate = (): void => void openGate(ops.admin_token_file, LOOPBACK.test(ops.address));
  return [
    ...(spiffe ? await spiffeProblems(spiffe, parts) : []),
    ...inputProblems('ops.admin_token_file', gate),
    ...(await revocationProblems(config)),
    ...(onward ? await keyProblems(onward, parts.clock) : []),
    ...(await redisProblems(config)),
    ...(await pipProblems(config.pips, parts.clock)),
    ...publicKeyProblems(config.policies),
    ...(await auditProblems(config)),
  ];
}

async function spiffeProblems(spiffe: Spiffe, parts: DryRunParts): Promise<Problems> {
  const federation = await Promise.all(spiffe.federation.map(endpointProblems));
  const own =
    spiffe.source === 'files'
      ? await svidProblems(spiffe, parts.clock)
      : inputProblems(
          'spiffe.endpoint',
          () => void findWorkloadApiEndpoint(spiffe.endpoint, parts.environment),
        );
  return [...own, ...federation.flat()];
}

async function svidProblems(spiffe: Spiffe, clock: Clock): Promise<Problems> {
  const { cert_file: certFile = '', key_file: keyFile = '', bundles: files = [] } = spiffe;
  const problems: Problem[] = [];
  const bundles = new Map<string, TrustBundle>();
  for (const [index, { trust_domain: trustDomain, file }] of files.entries()) {
    const bundle = await bundleOf(file, trustDomain, `spiffe.bundles[${index}].file`, problems);
    if (bundle) bundles.set(trustDomain, bundle);
  }
  const certificates = await textOf(certFile, 'spiffe.cert_file', problems);
  const key = await textOf(keyFile, 'spiffe.key_file', problems);
  if (certificates === undefined || key === undefined) return problems;
  const svid = readOwnSvid(certificates, key, bundles, clock.now());
  if ('problem' in svid) problems.push({ where: 'spiffe.cert_file', message: svid.problem });
  return problems;
}

async function endpointProblems(endpoint: Spiffe['federation'][number], index: number): Promise<Problems> {
  const problems: Problem[] = [];
  const where = `spiffe.federation[${index}]`;
  const { ca_file: caFile, bundle_file: bundleFile, endpoint_spiffe_id: id = '' } = endpoint;
  if (caFile !== undefined) await textOf(caFile, `${where}.ca_file`, problems);
  const server = parseSpiffeId(id);
  if (bundleFile !== undefined && 'trustDomain' in server)
    await bundleOf(bundleFile, server.trustDomain, `${where}.bundle_file`, problems);
  return problems;
}

async function bundleOf(
  file: string,
  trustDomain: string,
  where: string,
  problems: Problem[],
): Promise<TrustBundle | undefined> {
  const text = await textOf(file, where, problems);
  if (text === undefined) return undefined;
  const reading = readBundleFile(text, trustDomain);
  if ('bundle' in reading) return reading.bundle;
  problems.push({ where, message: `the bundle ${reading.problem}` });
  return undefined;
}

async function textOf(file: string, where: string, problems: Problem[]): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    problems.push({ where, message: fileProblem(error) });
    return undefined;
  }
}

async function keyProblems(
  { algorithm, keys }: NonNullable<Config['onward_identity']>,
  clock: Clock,
): Promise<Problems> {
  if (keys.dir === undefined) return [];
  const passedOver: Problem[] = [];
  const where = 'onward_identity.keys.dir';
  const note = (fields: object): void => {
    if ('file' in fields && 'problem' in fields)
      passedOver.push({ where, message: `${String(fields.file)} ${String(fields.problem)}` });
  };
  const log = { info: note, warn: note, error: note };
  using folder = await openKeyFolder({ folder: keys.dir, algorithm, publishAheadMs: 0, clock, log });
  if (folder.signer(clock.now())) return [];
  return [{ where, message: folder.problem }, ...passedOver];
}

async function revocationProblems(config: Config): Promise<Problems> {
  const { admin_token_file: token, file } = config.revocation;
  const problems: Problem[] = [];
  if (token !== undefined)
    problems.push(...inputProblems('revocation.admin_token_file', () => void openTokenCheck(token)));
  const text = file === undefined ? undefined : await textOf(file, 'revocation.file', problems);
  if (file === undefined || text === undefined) return problems;
  const read = createSubjectReader(config);
  return [...problems, ...inputProblems('revocation.file', () => void readShutOffs(file, text, 0, read))];
}

async function redisProblems({ tokens, pips, shared_state: shared }: Config): Promise<Problems> {
  const problems: Problem[] = [];
  const servers: [string, object][] = [
    ['tokens.dpop.replay', tokens.dpop.replay],
    ...pips.flatMap((pip, index): [string, object][] =>
      pip.kind === 'redis' ? [[`pips[${index}]`, pip]] : [],
    ),
    ['shared_state', shared],
  ];
  for (const [where, server] of servers) {
    const files: Partial<RedisServerConfig> = server;
    for (const key of ['password_file', 'ca_file', 'cert_file', 'key_file'] as const)
      if (files[key] !== undefined) await textOf(files[key], `${where}.${key}`, problems);
    const ofSentinels = files.sentinel?.password_file;
    if (ofSentinels !== undefined) await textOf(ofSentinels, `${where}.sentinel.password_file`, problems);
  }
  return problems;
}

function publicKeyProblems(policies: Config['policies']): Problems {
  const of = (
    choice: Pick<Config['policies'], 'signed_dir' | 'bundle'> | undefined,
    where: string,
  ): Problem[] =>
    (['signed_dir', 'bundle'] as const).flatMap((kind) =>
      (choice?.[kind]?.public_keys ?? []).flatMap((file, index) =>
        inputProblems(`${where}.${kind}.public_keys[${index}]`, () => void readVerifyingKey(file)),
      ),
    );
  return [...of(policies, 'policies'), ...of(policies.candidate, 'policies.candidate')];
}
