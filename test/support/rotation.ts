import { rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:tls';
import { eventually } from './eventually.ts';
import type { PdpProcess } from './pdp-process.ts';
import type { Leaf } from './test-ca.ts';

/** Replaces a file at once, as whatever rotates certificates does: nobody reads half of it. */
export async function replaceFile(file: string, text: string): Promise<void> {
  await writeFile(`${file}.next`, text, { mode: 0o600 });
  await rename(`${file}.next`, file);
}

/** Replaces key and certificate, one after the other. */
export async function putLeaf(files: Pick<Leaf, 'certFile' | 'keyFile'>, next: Leaf): Promise<void> {
  await replaceFile(files.keyFile, next.key);
  await replaceFile(files.certFile, next.cert);
}

/** One value of the metrics of a PDP; `name` is a pattern for its name and labels. NaN where there is none. */
export async function metric(pdp: PdpProcess, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${pdp.opsPort}/metrics`);
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(await answer.text())?.[1]);
}

/** Awaits that new connections to the gRPC surface of the PDP are shown this certificate. */
export async function untilShown(pdp: PdpProcess, leaf: Leaf): Promise<void> {
  const own = leaf.cert.trim();
  await eventually('the new SVID is shown', async () =>
    (await shown(pdp)).trim() === own ? true : undefined,
  );
}

function shown(pdp: PdpProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: '127.0.0.1', port: pdp.grpcPort, rejectUnauthorized: false, ALPNProtocols: ['h2'] },
      () => {
        resolve(socket.getPeerX509Certificate()?.toString() ?? '');
        socket.destroy();
      },
    );
    socket.once('error', reject);
  });
}
