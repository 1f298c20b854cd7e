// Builds dist/: the client that applications import, as it is, and the server in few files, for each file takes time at the start
// (docs/adr/0036). The old build is replaced only by a whole new one: somebody may be running it.
import { execFileSync } from 'node:child_process';
import { globSync, renameSync, rmSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const src = `${root}src/`;
const next = `${root}dist.next`;

/** Packages that are built in, with what they need: of many small files, and needed at every start. All others are loaded from node_modules. */
const BUILT_IN = new Set([
  '@opentelemetry/api',
  '@peculiar/asn1-schema',
  '@peculiar/asn1-x509',
  '@peculiar/utils',
  'asn1js',
  'cockatiel',
  'jose',
  'lru-cache',
  'pvtsutils',
  'pvutils',
  'tslib',
  'yaml',
  'zod',
]);

const HTTP = '\0node:http';

/** What a thread begins with is a file of its own, in its place. */
const entries = ['main.ts', ...globSync('**/*-worker.ts', { cwd: src })].map((file) =>
  file.replace(/\.ts$/, ''),
);

/** Modules find files beside them (threads, protos) by their own place, and so they keep it. */
const ownPlace = {
  name: 'own-place',
  transform(code, id) {
    if (!id.startsWith(src) || !code.includes('import.meta.url')) return null;
    const place = `./${relative(src, id).replace(/\.ts$/, '.js')}`;
    // No line moves, and so the source map is right without one of this step.
    return {
      code: code.replaceAll('import.meta.url', `new URL('${place}', import.meta.url).href`),
      map: null,
    };
  },
};

/** Imported as it is, `node:http` has Node.js load its `fetch` and `WebSocket` too. */
const leanHttp = {
  name: 'lean-http',
  resolveId: (id) => (id === 'node:http' ? HTTP : null),
  load: (id) =>
    id === HTTP
      ? "export const { STATUS_CODES, createServer, request } = process.getBuiltinModule('node:http');"
      : null,
};

const isOwn = (id) => id.startsWith('.') || id.startsWith('/');
const packageOf = (id) =>
  id
    .split('/')
    .slice(0, id.startsWith('@') ? 2 : 1)
    .join('/');

rmSync(next, { recursive: true, force: true });
execFileSync(`${root}node_modules/.bin/tsc`, ['-p', 'tsconfig.build.json', '--outDir', next], {
  cwd: root,
  stdio: 'inherit',
});
const bundle = await rolldown({
  input: Object.fromEntries(entries.map((entry) => [entry, `${src}${entry}.ts`])),
  platform: 'node',
  external: (id) => !isOwn(id) && id !== 'node:http' && !BUILT_IN.has(packageOf(id)),
  plugins: [ownPlace, leanHttp],
});
const { output } = await bundle.write({
  dir: next,
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  sourcemap: true,
});
await bundle.close();
// Places are those in dist/ itself, where all that is shared between threads is put.
const lost = output.find(({ fileName, code }) => fileName.includes('/') && code?.includes('import.meta.url'));
if (lost) throw new Error(`${lost.fileName} looks for files by its own place: let main.ts import that too`);
rmSync(`${root}dist`, { recursive: true, force: true });
renameSync(next, `${root}dist`);
