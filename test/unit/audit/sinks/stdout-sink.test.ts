import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createStdoutSink } from '../../../../src/audit/sinks/stdout-sink.ts';
import type { LogLine } from '../../../../src/audit/sinks/sink.ts';

const MODULE = new URL('../../../../src/audit/sinks/stdout-sink.ts', import.meta.url).href;

function linesOf(first: number, texts: readonly string[]): readonly LogLine[] {
  return texts.map((text, at) => ({ index: first + at, bytes: Buffer.from(text) }));
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

const never = new AbortController().signal;

describe('the standard output as a sink', () => {
  test('gets whole lines once, however little its reader takes at a time, and although deliveries fail between', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.string({ maxLength: 40 }), { minLength: 1, maxLength: 6 }),
      fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom('EAGAIN', 'EPIPE'))),
      async (texts, takes) => {
        let out = '';
        let failures = 0;
        const sink = createStdoutSink({
          open: () => 1,
          write(_, bytes, offset) {
            const take = takes.next().value;
            if (typeof take !== 'number' && failures++ < 8) throw systemError(take);
            const part = bytes.subarray(offset, offset + (typeof take === 'number' ? take : bytes.length));
            out += part.toString('latin1');
            return part.length;
          },
          close: () => undefined,
        });
        for (let done = false; !done;)
          done = await sink.deliver(linesOf(7, texts), never).then(
            () => true,
            () => false,
          );
        expect(Buffer.from(out, 'latin1').toString()).toBe(texts.map((text) => `${text}\n`).join(''));
      },
    );
    await fc.assert(property, { numRuns: 40 });
  });

  test('is given up where nobody reads it', async () => {
    const sink = createStdoutSink({
      open: () => 1,
      write: () => {
        throw systemError('EAGAIN');
      },
      close: () => undefined,
    });
    await expect(sink.deliver(linesOf(0, ['a']), AbortSignal.timeout(20))).rejects.toThrow('is not read');
  });

  test('writes to a file in its place', () => {
    const script = `import { createStdoutSink } from '${MODULE}';
      process.stdout.write('before\\n');
      await createStdoutSink().deliver([{ index: 0, bytes: Buffer.from('line') }], new AbortController().signal);`;
    const command = '"$0" --input-type=module -e "$1" > "$2"; cat "$2"; rm "$2"';
    const file = fileURLToPath(new URL(`file:///tmp/pdp-stdout-${process.pid}`));
    const out = execFileSync('sh', ['-c', command, process.execPath, script, file]).toString();
    expect(out).toBe('before\nline\n');
  });

  test('leaves the thread free where a pipe is full', async () => {
    const script = `import { createStdoutSink } from '${MODULE}';
      const lines = Array.from({ length: 300 }, (_, index) => ({ index, bytes: Buffer.alloc(1000, 'x') }));
      await createStdoutSink().deliver(lines, AbortSignal.timeout(200)).catch((error) => console.error(error.message));`;
    // A pipe of the shell: those of `spawn` are sockets.
    const command = '"$0" --input-type=module -e "$1" | sleep 2';
    const child = spawn('sh', ['-c', command, process.execPath, script], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    await once(child, 'exit');
    expect(said).toContain('standard output is not read');
  });
});
