import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { openBundle, packBundle, type PublishOptions } from '../pdp/bundle/bundle.ts';
import { type BundleTexts, textsOf } from '../pdp/bundle/bundle-texts.ts';
import { readRootFolder } from '../pdp/bundle/policy-folders.ts';
import { keyIdOf, readSigningKey } from '../pdp/bundle/signature.ts';
import { signFolder, verifyFolder } from '../pdp/bundle/signed-folder.ts';
import { writeAtomically } from '../pdp/bundle/write-file.ts';
import { compileSnapshot } from '../pdp/compile-snapshot.ts';
import { InputError, problemText } from '../pdp/errors.ts';
import { type Command, EXIT, parseCommandArgs, positionals, type Terminal } from './command.ts';

/** `pdp policy keygen`: makes an Ed25519 key pair for signing policies, as PEM files. Existing files are left alone. */
export const policyKeygen: Command = {
  name: 'policy keygen',
  usage: '--out PREFIX',
  summary: 'make a key pair for signing policies: PREFIX.key.pem (private, 0600) and PREFIX.pub.pem',
  async run(args, terminal) {
    const { values, positionals: found } = parseCommandArgs(args, { out: { type: 'string' } });
    positionals(found);
    const prefix = required('--out PREFIX', values.out);
    const files = { private: `${prefix}.key.pem`, public: `${prefix}.pub.pem` };
    for (const file of Object.values(files)) if (existsSync(file)) throw fileProblem(file, 'exists already');
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    writeNew(files.private, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
    writeNew(files.public, publicKey.export({ type: 'spki', format: 'pem' }), 0o644);
    terminal.out(`key ${keyIdOf(publicKey)}: ${files.private} (keep it secret), ${files.public}\n`);
    return EXIT.ok;
  },
};

/** `pdp policy pack`: validates policy sets and packs them into one bundle, signed where a key is given. */
export const policyPack: Command = {
  name: 'policy pack',
  usage: 'DIR… --out FILE --revision N [--sign KEYFILE]',
  summary:
    'validate policy sets and pack them into a bundle (.tar.gz), signed with an Ed25519 key in PEM form',
  async run(args, terminal) {
    const options = {
      out: { type: 'string' },
      revision: { type: 'string' },
      sign: { type: 'string' },
    } as const;
    const { values, positionals: folders } = parseCommandArgs(args, options);
    const out = required('--out FILE', values.out);
    if (folders.length === 0) throw badUsage('expected at least one policy set folder');
    const publish = publishOptions(values.revision, values.sign);
    const bytes = packBundle(folders, publish);
    // Opened as a server opens it: what is written here will be taken there.
    const opened = await openBundle(bytes, { publicKeys: publicKeysOf(publish) });
    const summary = validate(opened.texts, terminal);
    await writeOut(out, bytes, 0o644);
    const signed = opened.signedBy === undefined ? 'unsigned' : `signed by ${opened.signedBy}`;
    terminal.out(`${out}: revision ${opened.revision}, ${signed}, ${bytes.length} bytes, ${summary}\n`);
    return EXIT.ok;
  },
};

/** `pdp policy sign`: validates the policy sets in a folder and writes the signed manifest that vouches for them beside them. */
export const policySign: Command = {
  name: 'policy sign',
  usage: 'DIR --revision N --sign KEYFILE',
  summary: 'validate the policy sets in a folder and sign them in place (manifest.json, manifest.sig)',
  async run(args, terminal) {
    const options = { revision: { type: 'string' }, sign: { type: 'string' } } as const;
    const { values, positionals: found } = parseCommandArgs(args, options);
    const [root = ''] = positionals(found, 'DIR');
    const publish = publishOptions(values.revision, required('--sign KEYFILE', values.sign));
    const { revision, now, privateKey } = publish;
    if (!privateKey) throw badUsage('expected --sign KEYFILE');
    const files = readRootFolder(root);
    const summary = validate(
      textsOf(files, (path) => join(root, path)),
      terminal,
    );
    await signFolder(root, files, { revision, now, privateKey });
    const { signedBy } = verifyFolder(root, { publicKeys: publicKeysOf(publish) });
    terminal.out(`${root}: revision ${revision}, signed by ${signedBy}, ${summary}\n`);
    return EXIT.ok;
  },
};

function publishOptions(revision: string | undefined, keyFile: string | undefined): PublishOptions {
  const number = Number(required('--revision N', revision));
  if (!Number.isSafeInteger(number) || number < 1 || String(number) !== revision)
    throw badUsage(`--revision ${revision} is not an integer from 1 to 2^53 - 1`);
  const privateKey = keyFile === undefined ? {} : { privateKey: readSigningKey(keyFile) };
  return { revision: number, now: creationTime(), ...privateKey };
}

/** Unix ms; `SOURCE_DATE_EPOCH` (reproducible-builds.org, Unix s) where it is set, so that a build can be repeated byte for byte. */
function creationTime(): number {
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  if (epoch === undefined) return Date.now();
  if (/^\d{1,11}$/.test(epoch)) return Number(epoch) * 1000;
  throw new InputError('bad usage:', [
    { where: 'SOURCE_DATE_EPOCH', message: 'is not a Unix time in seconds' },
  ]);
}

function publicKeysOf({ privateKey }: PublishOptions) {
  return privateKey ? [createPublicKey(privateKey)] : [];
}

function validate(texts: BundleTexts, terminal: Terminal): string {
  const { snapshot, warnings } = compileSnapshot(texts, Date.now());
  for (const warning of warnings)
    terminal.err(`warning: ${problemText({ ...warning, where: relative('', warning.where) })}\n`);
  return `${snapshot.policyIds.length} policies, ${snapshot.digest}`;
}

function writeNew(file: string, content: string | Buffer, mode: number): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content, { flag: 'wx', mode });
  } catch (error) {
    throw fileProblem(file, `cannot be written (${(error as Error).message})`);
  }
}

async function writeOut(file: string, content: Buffer, mode: number): Promise<void> {
  try {
    await writeAtomically(file, content, mode);
  } catch (error) {
    throw fileProblem(file, `cannot be written (${(error as Error).message})`);
  }
}

function required(what: string, value: string | undefined): string {
  if (value === undefined || value === '') throw badUsage(`expected ${what}`);
  return value;
}

function badUsage(message: string): InputError {
  return new InputError('bad usage:', [{ where: 'pdp', message }]);
}

function fileProblem(file: string, message: string): InputError {
  return new InputError('the file cannot be written:', [{ where: file, message }]);
}
