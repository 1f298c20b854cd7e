import * as fc from 'fast-check';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildEvidence } from '../../../../src/audit/export/build-evidence.ts';
import { checkEvidence } from '../../../../src/audit/export/evidence-check.ts';
import { EvidenceFile } from '../../../../src/audit/export/evidence-file.ts';
import { sentencesOf } from '../../../../src/audit/export/evidence-words.ts';
import { isDecision, parseRecord } from '../../../../src/audit/read/decision-record.ts';
import { generateSigningKey, parseVerifierKey } from '../../../../src/audit/tlog/note-key.ts';
import { evidenceText } from '../../../../src/cli/audit-verify-text.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { tempDir } from '../log-fixture.ts';
import { identityFile, seal } from '../verify/sealed-log.ts';

/** A sealed log of a decision, one that reuses it, one that is denied, and one that no policy was asked about. */
async function decided() {
  const [dir, key] = [tempDir(), identityFile()];
  const log = await openDecisionLog(dir);
  const [first, hit, denied] = [
    await log.ask({ user: 'alice' }),
    await log.ask({ user: 'alice' }),
    await log.ask({ user: 'carol' }),
  ];
  await log[Symbol.asyncDispose]();
  seal(dir, log.writer, key);
  const vkey = parseVerifierKey(readFileSync(join(dir, 'keys', 'identity.vkey'), 'utf8'));
  return { dir, key, vkey, first: first.id, hit: hit.id, denied: denied.id };
}

describe('an evidence file', () => {
  it('proves one decision without the log, and says in words what', async () => {
    const { dir, vkey, first, denied } = await decided();
    const [allowed, refused] = [await buildEvidence(dir, first), await buildEvidence(dir, denied, vkey)];
    rmSync(dir, { recursive: true });
    expect(checkEvidence(allowed, vkey)).toMatchObject({
      integrity: 'ok',
      identityKey: 'given',
      decisionId: first,
      problems: [],
    });
    const { proves } = checkEvidence(refused);
    expect(proves[0]).toMatch(
      new RegExp(`^decision ${denied} was DENY \\(no_permit\\), made at .* by no policy$`),
    );
    expect(proves.join('\n')).toMatch(
      /the policies, the entities and the context that it was made of are in the file/,
    );
    expect(checkEvidence(refused)).toMatchObject({ integrity: 'ok', identityKey: 'file' });
  });

  it('of an answer from the cache holds the decision that it reuses, proven too', async () => {
    const { dir, vkey, first, hit } = await decided();
    const text = await buildEvidence(dir, hit);
    const file = EvidenceFile.parse(JSON.parse(text));
    expect(JSON.parse(file.reuses?.line ?? '{}')).toMatchObject({ decision_id: first });
    expect(Object.keys(file.reuses?.blobs ?? {}).length).toBeGreaterThan(1);
    const { integrity, proves } = checkEvidence(text, vkey);
    expect([integrity, proves.join('\n')]).toEqual([
      'ok',
      expect.stringContaining(`it reuses the decision ${first}, which is proven too`),
    ]);
    const { reuses: _gone, ...without } = file;
    expect(checkEvidence(JSON.stringify(without)).problems).toEqual([
      'the decision that it reuses is not the one in the file',
    ]);
  });

  it('says where nobody acted on the decision', async () => {
    const { dir, first } = await decided();
    const { decision } = EvidenceFile.parse(JSON.parse(await buildEvidence(dir, first)));
    const record = parseRecord(decision.line);
    if (record === undefined || !isDecision(record)) throw new Error('no decision');
    const checkpoint = { origin: '', size: 1, root: new Uint8Array(32), time: 0, epochs: [] };
    const words = (changes: object) =>
      sentencesOf({ record: { ...record, ...changes }, checkpoint, erased: [] }, undefined).join('\n');
    expect(words({})).not.toContain('nobody acted on it');
    expect(words({ enforced: false })).toContain('nobody acted on it: it was made in observe mode');
  });

  it('does not take out policies as erased, and does not vouch for what it says was erased', async () => {
    const { dir, vkey, first } = await decided();
    const file = EvidenceFile.parse(JSON.parse(await buildEvidence(dir, first)));
    const without = (isOne: (digest: string) => boolean) => {
      const blobs = Object.entries(file.decision.blobs).map(([digest, payload]) => [
        digest,
        isOne(digest) ? '{"kind":"erased","erasure":"x"}' : payload,
      ]);
      const decision = { ...file.decision, blobs: Object.fromEntries(blobs) };
      return checkEvidence(JSON.stringify({ ...file, decision }), vkey);
    };
    expect(without((digest) => digest.startsWith('sha256:')).problems.join()).toContain(
      'is not what its digest says',
    );
    expect(without((digest) => !digest.startsWith('sha256:')).proves.join()).toMatch(
      /not in the file, which says that they were erased \(that it is so, only the log can show\)/,
    );
  });

  it('cannot write to the terminal of who checks it', async () => {
    const { dir, first } = await decided();
    const file = EvidenceFile.parse(JSON.parse(await buildEvidence(dir, first)));
    const log = '\u001b[2J\nINTEGRITY:    OK\n';
    const text = evidenceText('x.json', checkEvidence(JSON.stringify({ ...file, log })));
    expect(text).not.toContain('\u001b');
    expect(text.match(/^INTEGRITY:.*$/gm)).toEqual(['INTEGRITY:    FAILED']);
  });

  it('is worth nothing under another key, or for another decision', async () => {
    const { dir, first, denied } = await decided();
    const text = await buildEvidence(dir, first);
    expect(checkEvidence(text, generateSigningKey('example.com/pdp/test')).problems).toEqual([
      'the note has no signature of a trusted key',
    ]);
    expect(checkEvidence(text, generateSigningKey('example.com/other')).problems[0]).toMatch(
      /is that of the log/,
    );
    expect(
      checkEvidence(text.replaceAll(`"decision_id": "${first}"`, `"decision_id": "${denied}"`)),
    ).toMatchObject({ integrity: 'failed' });
  });

  it('fails where any part of it was changed', async () => {
    const { dir, vkey, hit } = await decided();
    const file = EvidenceFile.parse(JSON.parse(await buildEvidence(dir, hit)));
    const parts: ((change: (text: string) => string) => unknown)[] = [
      (change) => ({ ...file, decision: { ...file.decision, line: change(file.decision.line) } }),
      (change) => ({ ...file, decision: { ...file.decision, proof: change(file.decision.proof) } }),
      (change) => ({ ...file, reuses: { ...file.reuses, line: change(file.reuses?.line ?? '') } }),
      (change) => ({ ...file, keys: { ...file.keys, epochs: file.keys.epochs.map(change) } }),
      (change) => ({
        ...file,
        reuses: {
          ...file.reuses,
          blobs: Object.fromEntries(
            Object.entries(file.reuses?.blobs ?? {}).map(([digest, payload]) => [digest, change(payload)]),
          ),
        },
      }),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...parts), fc.nat(), (part, at) => {
        const changed = part(
          (text) =>
            `${text.slice(0, at % text.length)}${text[at % text.length] === 'x' ? 'y' : 'x'}${text.slice((at % text.length) + 1)}`,
        );
        expect(checkEvidence(JSON.stringify(changed), vkey).integrity).toBe('failed');
      }),
      { numRuns: 200 },
    );
  });

  it.each(['', '{}', '[1]', '{"format":"cedar-pdp evidence v1"}'])(
    'is refused where it is none: %s',
    (text) => {
      expect(checkEvidence(text).integrity).toBe('failed');
    },
  );

  it('is not made of a decision that is not there, not sealed, or not what was signed', async () => {
    const { dir, first } = await decided();
    await expect(buildEvidence(dir, 'nobody')).rejects.toThrow(/the log has no decision nobody/);
    await expect(buildEvidence(dir, first, generateSigningKey('example.com/pdp/test'))).rejects.toThrow(
      /vouches for none/,
    );
    rmSync(join(dir, 'checkpoint'));
    await expect(buildEvidence(dir, first)).rejects.toThrow(/no checkpoint/);
  });
});
