// Bundles the daemon, the command line and the plugins into dist/: less to load, and no types to strip.
// Paths below dist/ mirror those of the sources, so that files find each other in the same way.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const dist = resolve(root, 'dist');

/** Programs of their own; what they share becomes chunks beside them. */
const entries = [
  'packages/runtime/src/main.ts',
  'packages/runtime/src/cli/cni/explanation/scratch.ts',
  'packages/images/src/unpack/worker.ts',
  'packages/plugins/src/exec.ts',
];

/** In a bundle, import.meta.url is that of the bundle: give each module the one that its source would have here. */
function ownUrls(outDir: string): Plugin {
  return {
    name: 'own-urls',
    setup({ onLoad }) {
      onLoad({ filter: /packages\/.*\/src\/.*\.ts$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        if (!text.includes('import.meta.url')) return undefined;
        const here = relative(outDir, resolve(dist, relative(root, path)));
        const url = `new URL(${JSON.stringify(here)}, import.meta.url).href`;
        return {
          loader: 'ts',
          contents: text
            .replaceAll(/new URL\('\.\/([a-z-]+)\.ts'/g, "new URL('./$1.mjs'")
            .replaceAll('import.meta.url', url),
        };
      });
    },
  };
}

/**
 * `import … from 'node:http'` reads every property of the module, and so loads undici for its WebSocket: some ten megabytes and
 * tens of milliseconds of each process that never uses it. Taken as Node.js's own modules take it, it does not.
 */
const plainHttp: Plugin = {
  name: 'plain-http',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === 'require-call' ? undefined : { path: 'node:http', namespace: 'plain-http' },
    );
    onLoad({ filter: /.*/, namespace: 'plain-http' }, () => ({
      contents: "module.exports = process.getBuiltinModule('node:http');",
    }));
  },
};

rmSync(dist, { recursive: true, force: true });
for (const entry of entries) {
  const outDir = resolve(dist, dirname(entry));
  await build({
    entryPoints: [resolve(root, entry)],
    outdir: outDir,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunk-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    // koffi loads a native file of its own.
    external: ['koffi'],
    banner: {
      js: "import { createRequire as amphipodRequire } from 'node:module'; const require = amphipodRequire(import.meta.url);",
    },
    plugins: [ownUrls(outDir), plainHttp],
    logLevel: 'warning',
  });
}

for (const name of ['runtime', 'plugins'])
  cpSync(`${root}/packages/${name}/package.json`, `${dist}/packages/${name}/package.json`);
makeExecutables();
mkdirSync(`${dist}/bin`);
writeFileSync(`${dist}/bin/amphipod`, launcher(readFileSync(`${root}/bin/amphipod`, 'utf8')));
chmodSync(`${dist}/bin/amphipod`, 0o755);

/** bin/amphipod for dist/: Node.js is one directory further up, and the program is a bundle. */
function launcher(text: string): string {
  return text.replace('$root/bin/node24', '$root/../bin/node24').replace('main.ts', 'main.mjs');
}

/** The launchers, from which `amphipod cni install` makes executables, and those of dist/ itself. */
function makeExecutables(): void {
  const launcherDir = 'packages/plugins/launcher';
  execFileSync('sh', [`${root}/scripts/setup.sh`, 'executables'], { stdio: 'inherit' });
  for (const file of ['launcher.sh', 'build/launcher']) {
    if (existsSync(`${root}/${launcherDir}/${file}`))
      cpSync(`${root}/${launcherDir}/${file}`, `${dist}/${launcherDir}/${file}`);
  }
  execFileSync(process.execPath, [`${root}/scripts/make-executables.ts`, dist], { stdio: 'inherit' });
}
