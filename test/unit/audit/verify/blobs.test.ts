import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { leaveNote } from '../../../../src/audit/log/inbox.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { tempDir } from '../log-fixture.ts';
import { identityFile, seal } from './sealed-log.ts';

/** A sealed log of real decisions, with what they were made of. */
async function decisions(
  appended: (log: Awaited<ReturnType<typeof openDecisionLog>>) => Promise<void> = async () => {},
) {
  const [dir, key] = [tempDir(), identityFile()];
  const log = await openDecisionLog(dir);
  await log.ask({ user: 'alice' });
  await log.ask({ user: 'alice' });
  await log.ask({ user: 'carol' });
  await log.ask({ path: '/public/x' });
  await appended(log);
  await log[Symbol.asyncDispose]();
  seal(dir, log.writer, key);
  return dir;
}

function packPath(dir: string): string {
  return join(dir, readdirSync(dir).find((name) => name.endsWith('.blobs')) ?? '');
}

function change(dir: string, edit: (lines: string[]) => readonly string[]): void {
  const lines = readFileSync(packPath(dir), 'utf8').trimEnd().split('\n');
  writeFileSync(
    packPath(dir),
    edit(lines)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

/** The line of the pack that holds a user. */
const isUser = (line: string) => line.includes('"kind":"entity"') && line.includes('ZeroTrust::User');

async function problems(dir: string): Promise<[string, string, string][]> {
  const { problems: found } = await verifyLog(dir);
  return found.map(({ question, severity, message }) => [question, severity, message]);
}

describe('what the lines of a log refer to', () => {
  it('is all there, and is what its digest says', async () => {
    const report = await verifyLog(await decisions());
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'ok', problems: [] });
    expect(report.blobs).toBeGreaterThan(2);
  });

  it('fails integrity where an entity was changed, and completeness as it then is missing', async () => {
    const dir = await decisions();
    change(dir, (lines) => lines.map((line) => (isUser(line) ? line.replace('alice', 'alicf') : line)));
    const found = await problems(dir);
    expect(
      found.some(
        ([question, , message]) => question === 'integrity' && /not what its digest says/.test(message),
      ),
    ).toBe(true);
    expect(
      found.some(([question, , message]) => question === 'completeness' && /is missing/.test(message)),
    ).toBe(true);
  });

  it('fails integrity where a policy was changed', async () => {
    const dir = await decisions();
    change(dir, (lines) =>
      lines.map((line) => (line.startsWith('sha256:') ? line.replace('/public/*', '/*') : line)),
    );
    expect((await problems(dir)).map(([, , message]) => message).join()).toMatch(
      /the policies are not those that their digest says/,
    );
  });

  it('fails completeness where a blob or the whole pack is missing, and names the line', async () => {
    const dir = await decisions();
    change(dir, (lines) => lines.filter((line) => !isUser(line)));
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'failed' });
    expect(report.problems[0]).toMatchObject({
      line: 2,
      message: expect.stringMatching(/^what the record refers to is missing/) as string,
    });
    rmSync(packPath(dir));
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'ok', completeness: 'failed' });
  });

  it('fails integrity where a line of the pack is no blob', async () => {
    const dir = await decisions();
    change(dir, (lines) => [...lines, 'garbage']);
    expect((await problems(dir)).map(([, , message]) => message)).toEqual(['no blob ()']);
  });

  const erasure = '6f1c7a52-0000-4000-8000-000000000000';
  const erase = (dir: string) =>
    change(dir, (lines) =>
      lines.map((line) =>
        isUser(line) ? `${line.split(' ', 1)[0]} {"kind":"erased","erasure":"${erasure}"}` : line,
      ),
    );

  it('may be erased where the log says so, and only then', async () => {
    const dir = await decisions((log) =>
      log.writer.appendControl('erased', { erasure, subject: 'p:1', blobs: 2 }),
    );
    erase(dir);
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'ok', completeness: 'ok', problems: [] });
    const other = await decisions();
    erase(other);
    expect((await problems(other)).map(([, severity, message]) => [severity, message])).toEqual([
      ['failed', `a blob was erased, and no record of the log says so (erasure ${erasure})`],
    ]);
    leaveNote(other, 'erased', { erasure });
    expect(await problems(other)).toEqual([
      [
        'integrity',
        'unchecked',
        `the erasure ${erasure} waits to be recorded and signed: until then nobody vouches for it`,
      ],
    ]);
    expect(await verifyLog(other)).toMatchObject({ integrity: 'not_checked', completeness: 'ok' });
  });

  it('may not be erased in the name of an erasure that says it erased less', async () => {
    const dir = await decisions((log) => log.writer.appendControl('erased', { erasure, blobs: 1 }));
    erase(dir);
    expect((await problems(dir)).map(([, severity, message]) => [severity, message])).toEqual([
      ['failed', `2 blobs were erased where the log says 1 (erasure ${erasure})`],
    ]);
  });

  it('is noted where an erasure was begun and never said how much it was', async () => {
    const dir = await decisions((log) => log.writer.appendControl('erased', { erasure, state: 'begun' }));
    erase(dir);
    expect((await problems(dir)).map(([, severity]) => severity)).toEqual(['note']);
  });

  it('fails integrity where a policy set was erased, whatever the log says', async () => {
    const dir = await decisions((log) => log.writer.appendControl('erased', { erasure, blobs: 9 }));
    change(dir, (lines) =>
      lines.map((line) =>
        line.startsWith('sha256:')
          ? `${line.split(' ', 1)[0]} {"kind":"erased","erasure":"${erasure}"}`
          : line,
      ),
    );
    expect(
      (await problems(dir)).map(([question, severity, message]) => [question, severity, message]),
    ).toContainEqual([
      'integrity',
      'failed',
      expect.stringContaining('a policy set was erased: that never happens'),
    ]);
  });
});

describe('the runs of a log', () => {
  it('have a heartbeat, and one that is missing for much longer than its interval is told', async () => {
    const beat = (log: Awaited<ReturnType<typeof openDecisionLog>>, uptime_s: number, lost = 0) =>
      log.writer.appendControl('heartbeat', { uptime_s, lost });
    const well = await decisions(async (log) => {
      for (const uptime of [60, 120, 185, 240]) await beat(log, uptime);
    });
    expect(await verifyLog(well)).toMatchObject({ completeness: 'ok' });
    const silent = await decisions(async (log) => {
      for (const uptime of [60, 120, 600]) await beat(log, uptime);
    });
    expect((await problems(silent)).map(([, , message]) => message)).toEqual([
      'no heartbeat for 480 s, where there is one every 60 s',
    ]);
    const lossy = await decisions((log) => beat(log, 60, 3));
    expect((await problems(lossy)).map(([, , message]) => message)).toEqual([
      '3 records were lost in this run, and gap records admit 0',
    ]);
  });

  it('report what they lost, and records of a version or kind that is not known', async () => {
    const dir = await decisions(async (log) => {
      await log.writer.append(
        (index) =>
          `{"v":1,"kind":"gap","log":"example.com/pdp/test","index":${index},"count":7,"reason":"ENOSPC"}`,
      );
      await log.writer.append(
        (index) =>
          `{"v":2,"kind":"decision","log":"example.com/pdp/test","index":${index},"decision_id":"x"}`,
      );
      await log.writer.append(
        (index) => `{"v":1,"kind":"rumour","log":"example.com/pdp/test","index":${index},"said":1}`,
      );
    });
    const report = await verifyLog(dir);
    expect(report).toMatchObject({ integrity: 'ok', completeness: 'failed', lost: 7 });
    expect(report.problems.map(({ message }) => message)).toEqual([
      '7 records were lost: ENOSPC',
      'unknown record version 2',
      'unknown kind of record "rumour"',
    ]);
    expect(report.byKind).toMatchObject({ gap: 1, unknown: 1 });
  });
});
