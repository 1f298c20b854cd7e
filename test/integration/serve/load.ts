import http2 from 'node:http2';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { demoConfig } from '../../support/app.ts';
import type { PdpOptions } from '../../support/pdp-process.ts';

const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** Configuration of a PDP with the sample policies; files that it needs are the repository's. */
export function sampleConfig(
  overrides: Readonly<Record<string, unknown>> = {},
): NonNullable<PdpOptions['config']> {
  const { demo: _demo, grpc: _grpc, ops: _ops, http: _http, audit: _audit, ...config } = demoConfig('.');
  return { ...config, ...overrides };
}

/** A file of the repository. */
export function repositoryFile(...path: readonly string[]): string {
  return fileURLToPath(new URL(join('../../..', ...path), import.meta.url));
}

/** A gRPC message frame (uncompressed). */
export function frame(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** How a call of {@link abandon} ends. */
export type Abandonment =
  'at its headers' | 'before its message' | 'within its message' | 'once sent' | 'a moment later';

/** Starts a check on a raw HTTP/2 connection and resets it; resolves when the stream is closed. */
export function abandon(
  session: http2.ClientHttp2Session,
  bytes: Uint8Array,
  when: Abandonment,
): Promise<void> {
  const stream = session.request({
    ':method': 'POST',
    ':path': CHECK_PATH,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => void stream.once('close', () => resolve()).resume());
  const reset = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
  if (when === 'at its headers') reset();
  else if (when === 'before its message') setImmediate(reset);
  else if (when === 'within its message') stream.write(frame(bytes).subarray(0, 11), reset);
  else if (when === 'once sent') stream.end(frame(bytes), reset);
  else stream.end(frame(bytes), () => setTimeout(reset, 1));
  return closed;
}
