// Checks who imports whom: the arrows of ARCHITECTURE.md, which npm's hoisting would let anyone ignore.
import { globSync, readFileSync } from 'node:fs';
import { dirname, normalize } from 'node:path';

/** Packages of this project that each package may import. */
const allowedPackages: Record<string, string[]> = {
  linux: [],
  cni: [],
  netlink: ['linux'],
  images: ['linux'],
  plugins: ['linux', 'netlink', 'cni', 'fabric'],
  fabric: ['linux', 'netlink', 'cni'],
  runtime: ['linux', 'netlink', 'cni', 'images', 'plugins', 'fabric'],
};

/**
 * Folders of packages/runtime/src that each folder may import; "." is what lies beside them (errors, log, context, …).
 * The command line talks CRI over the socket and nothing else, so it knows the protocol only.
 */
const domains = ['pods', 'containers', 'cdi', 'streaming', 'images', 'stats', 'devices'];
const base = ['.', 'gen', 'spdy', 'store', 'oci', 'telemetry'];
const allowedFolders: Record<string, string[]> = {
  gen: [],
  spdy: ['spdy'],
  store: base,
  oci: base,
  telemetry: base,
  '.': base,
  ...Object.fromEntries(domains.map((domain) => [domain, [...base, ...domains]])),
  cri: [...base, ...domains, 'cri'],
  daemon: [...base, ...domains, 'cri', 'daemon'],
  cli: ['gen', 'spdy', 'cli'],
};
/** The command dispatch, and the commands that are daemons. */
const exemptFiles = new Set([
  'packages/runtime/src/main.ts',
  'packages/runtime/src/cli/agent.ts',
  'packages/runtime/src/cli/device-plugin.ts',
  'packages/runtime/src/cli/up.ts',
  'packages/runtime/src/cli/config/check.ts',
  'packages/runtime/src/cli/config/default.ts',
  'packages/runtime/src/cli/cni/dhcp-daemon.ts',
  'packages/runtime/src/cli/cni/serve.ts',
  'packages/runtime/src/cli/net/routed.ts',
]);

/** Parts of packages that tests, benchmarks and scripts may reach into. */
const openToTests = ['packages/runtime/src/gen/', 'packages/runtime/src/cli/'];

interface Import {
  file: string;
  specifier: string;
  isTypeOnly: boolean;
}

interface Manifest {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  exports?: Record<string, string>;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8');
  const pattern =
    /^(?:import|export)\s+(type\s)?(?:[^;'"]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  return [...text.matchAll(pattern)].map((match) => ({
    file,
    specifier: match[2] ?? match[3]!,
    isTypeOnly: match[1] !== undefined,
  }));
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
}

/** The npm package of a specifier: "@amphipod/images" of "@amphipod/images/testing". */
function packageOf(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]!;
}

const problems: string[] = [];
const report = ({ file, specifier }: Import, why: string) =>
  problems.push(`${file}: import of "${specifier}": ${why}`);
const isRelative = (specifier: string) => specifier.startsWith('.');
const isBuiltin = (specifier: string) => specifier.startsWith('node:');
const isTest = (file: string) => file.endsWith('.test.ts');

function checkRelative(one: Import, root: string): void {
  const target = normalize(`${dirname(one.file)}/${one.specifier}`);
  if (!/\.(ts|json)$/.test(target)) report(one, 'a relative import ends in .ts');
  if (target.startsWith(root)) {
    if (root === 'packages/runtime/') checkFolders(one, target);
  } else if (root.startsWith('packages/')) {
    report(one, 'leaves its package: import the other one by its name');
  } else if (one.file.startsWith('test/kernel/')) {
    // The half of a package's own tests that needs root.
  } else if (target.startsWith('packages/') && !openToTests.some((open) => target.startsWith(open))) {
    report(one, `reaches into a package: import it by its name (open are only ${openToTests.join(', ')})`);
  }
}

function checkFolders(one: Import, target: string): void {
  const folder = (file: string) => /^packages\/runtime\/src\/(?:([^/]+)\/)?/.exec(file)?.[1] ?? '.';
  if (exemptFiles.has(one.file) || isTest(one.file) || !target.startsWith('packages/runtime/src/')) return;
  const [from, to] = [folder(one.file), folder(target)];
  // What the daemon consists of is named in one type, which is no dependency at run time.
  if (from === '.' && one.isTypeOnly && domains.includes(to)) return;
  const allowed = allowedFolders[from];
  if (allowed === undefined) report(one, `folder "${from}" has no line in scripts/check-imports.ts`);
  else if (!allowed.includes(to))
    report(one, `${from} may import ${allowed.join(', ') || 'nothing'}, not ${to}`);
}

function checkPackage(name: string): void {
  const dir = `packages/${name}/`;
  const manifest = readManifest(`${dir}package.json`);
  const used = new Set<string>();
  for (const one of globSync(`${dir}{src,bin}/**/*.ts`).toSorted().flatMap(importsOf)) {
    if (isBuiltin(one.specifier)) continue;
    if (isRelative(one.specifier)) {
      checkRelative(one, dir);
      continue;
    }
    const wanted = packageOf(one.specifier);
    used.add(wanted);
    checkDeclared(one, { wanted, manifest });
    if (wanted.startsWith('@amphipod/')) checkEdge(one, name);
    if (wanted === 'koffi' && name !== 'linux') report(one, 'system calls are made in packages/linux only');
  }
  for (const declared of Object.keys(manifest.dependencies ?? {})) {
    if (!used.has(declared)) problems.push(`${dir}package.json: dependency "${declared}" is not imported`);
  }
}

function checkDeclared(one: Import, { wanted, manifest }: { wanted: string; manifest: Manifest }): void {
  const declared = {
    ...manifest.dependencies,
    ...(isTest(one.file) && { ...manifest.devDependencies, ...rootManifest.devDependencies }),
  };
  if (!(wanted in declared)) report(one, 'not declared in its package.json');
}

function checkEdge(one: Import, name: string): void {
  const target = packageOf(one.specifier).slice('@amphipod/'.length);
  if (target !== name && !allowedPackages[name]?.includes(target)) {
    report(one, `${name} may import ${allowedPackages[name]?.join(', ') || 'no package of ours'}`);
  }
  if (name === 'plugins' && one.specifier === '@amphipod/fabric') {
    report(
      one,
      'plugins import "@amphipod/fabric/client", and "@amphipod/fabric/calico" when they are called',
    );
  }
  const subpath = `.${one.specifier.slice(packageOf(one.specifier).length)}`;
  if (subpath === '.') return;
  if (readManifest(`packages/${target}/package.json`).exports?.[subpath] === undefined) {
    report(one, 'not an export of that package');
  } else if (subpath === './testing' && !isTest(one.file)) {
    report(one, 'for tests only');
  }
}

const rootManifest = readManifest('package.json');
const names = globSync('packages/*/package.json').map((path) => path.split('/')[1]!);
for (const name of names.toSorted()) {
  if (allowedPackages[name] === undefined)
    problems.push(`packages/${name}: no line in scripts/check-imports.ts`);
  else checkPackage(name);
}
for (const dir of ['test/', 'bench/', 'scripts/']) {
  for (const one of globSync(`${dir}**/*.ts`).toSorted().flatMap(importsOf)) {
    if (isRelative(one.specifier)) checkRelative(one, dir);
  }
}
for (const problem of problems) console.error(problem);
console.error(problems.length === 0 ? 'imports: as they should be' : `imports: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
