import { constants, existsSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readPrivacyKey } from '../audit/privacy/key-file.ts';
import { readIdentityKey } from '../audit/seal/identity-key.ts';
import type { Config } from '../config.ts';
import { type Problem, messageOf } from '../pdp/errors.ts';
import { fileProblem } from '../pip/polled-file.ts';
import { logIdentityOf } from './audit-seal.ts';
import { inputProblems } from './input-problems.ts';

/** What is wrong with the folder, the keys and the secrets of the decision log. Makes nothing; keys that are not there yet are made by the first start. */
export async function auditProblems(config: Config): Promise<readonly Problem[]> {
  const { audit } = config;
  const { identityFile, origin } = logIdentityOf(config);
  const { privacy } = audit;
  return [
    ...(await folderProblems(audit.dir)),
    ...inputProblems('audit.keys.identity_file', () => void readIdentityKey(identityFile, origin)),
    ...inputProblems('audit.privacy.key_file', () => {
      if (privacy && existsSync(privacy.key_file)) readPrivacyKey(privacy.key_file);
    }),
    ...(await sinkProblems(audit.sinks)),
  ];
}

/** The folder, or what it would be made in, has to take files. */
async function folderProblems(dir: string): Promise<readonly Problem[]> {
  let path = dir;
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path);
  try {
    await access(path, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    return [
      { where: 'audit.dir', message: `${path} cannot be written to by this user (${messageOf(error)})` },
    ];
  }
}

async function sinkProblems(sinks: Config['audit']['sinks']): Promise<readonly Problem[]> {
  const found = sinks.flatMap((sink, index) => filesIn(sink, `audit.sinks[${index}]`));
  const problems = await Promise.all(found.map(({ where, file }) => unreadable(where, file)));
  return problems.flat();
}

interface NamedFile {
  readonly where: string;
  readonly file: string;
}

/** Every setting whose name says that it is a file, at any depth. */
function filesIn(settings: object, where: string): readonly NamedFile[] {
  return Object.entries(settings).flatMap(([name, value]: [string, unknown]) => {
    const path = `${where}.${name}`;
    if (typeof value === 'string') return /(?:^|_)file$/.test(name) ? [{ where: path, file: value }] : [];
    return typeof value === 'object' && value !== null ? filesIn(value, path) : [];
  });
}

async function unreadable(where: string, file: string): Promise<readonly Problem[]> {
  try {
    await access(file, constants.R_OK);
    return [];
  } catch (error) {
    return [{ where, message: `${file}: ${fileProblem(error)}` }];
  }
}
