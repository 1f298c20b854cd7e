type StillFails = (input: Uint8Array) => Promise<boolean>;

/** Makes an input smaller and plainer for as long as `stillFails` says so, within about `tries` questions. */
export async function minimise(input: Uint8Array, stillFails: StillFails, tries = 2000): Promise<Uint8Array> {
  let left = tries;
  const ask: StillFails = async (candidate) => left-- > 0 && (await stillFails(candidate));
  let best: Buffer = Buffer.from(input);
  for (let size = Math.ceil(best.length / 2); size > 1; size = Math.ceil(size / 2))
    best = await withoutBlocks(best, size, ask);
  return await plainer(await withoutBlocks(best, 1, ask), ask);
}

async function withoutBlocks(input: Buffer, size: number, ask: StillFails): Promise<Buffer> {
  let best = input;
  for (let at = 0; at < best.length;) {
    const candidate = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
    if (await ask(candidate)) best = candidate;
    else at += size;
  }
  return best;
}

const PLAIN = 0x61;

async function plainer(input: Buffer, ask: StillFails): Promise<Buffer> {
  let best = input;
  for (const [at, byte] of input.entries()) {
    if (byte === PLAIN) continue;
    const candidate = Buffer.from(best);
    candidate[at] = PLAIN;
    if (await ask(candidate)) best = candidate;
  }
  return best;
}
