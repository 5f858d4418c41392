// Checks that docs/errors.md lists just the error codes of the sources, in the table of each error class.
import { globSync, readFileSync } from 'node:fs';

interface CodeSource {
  /** The class, as the heading in docs/errors.md names it. */
  errorClass: string;
  file: string;
  /** Cuts the code names out of the file. */
  declaration: RegExp;
  name: RegExp;
}

const sources: CodeSource[] = [
  {
    errorClass: 'CriError',
    file: 'packages/runtime/src/errors.ts',
    declaration: /export type CriErrorCode =([^;]*);/,
    name: /'([a-z-]+)'/g,
  },
  {
    errorClass: 'ImageError',
    file: 'packages/images/src/errors.ts',
    declaration: /export type ImageErrorCode =([^;]*);/,
    name: /'([a-z-]+)'/g,
  },
  {
    errorClass: 'FabricError',
    file: 'packages/fabric/src/errors.ts',
    declaration: /export type FabricErrorCode =([^;]*);/,
    name: /'([a-z-]+)'/g,
  },
  {
    errorClass: 'CniError',
    file: 'packages/cni/src/errors.ts',
    declaration: /export const cniErrorNumbers = \{(.*?)\n\} as const/s,
    name: /^\s+'?([a-z-]+)'?: \d+/gm,
  },
];

const docs = readFileSync('docs/errors.md', 'utf8');
const problems: string[] = [];

/** The first column of the table below the heading that names the class. */
function documentedCodes(errorClass: string): Set<string> {
  const section = docs.split(/^## /m).find((part) => part.split('\n')[0]!.includes(`\`${errorClass}\``));
  if (section === undefined) {
    problems.push(`docs/errors.md: no section for ${errorClass}`);
    return new Set();
  }
  return new Set([...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]!));
}

for (const { errorClass, file, declaration, name } of sources) {
  const text = declaration.exec(readFileSync(file, 'utf8'))?.[1];
  if (text === undefined) {
    problems.push(`${file}: the codes of ${errorClass} are not where scripts/check-errors.ts looks for them`);
    continue;
  }
  const codes = new Set([...text.matchAll(name)].map((match) => match[1]!));
  const documented = documentedCodes(errorClass);
  for (const code of codes.difference(documented))
    problems.push(`docs/errors.md: ${errorClass} "${code}" is missing`);
  for (const code of documented.difference(codes))
    problems.push(`docs/errors.md: ${errorClass} "${code}" does not exist`);
}

// A class of errors with codes that nobody told this script about.
const known = new Set([
  ...sources.map(({ errorClass }) => errorClass),
  'SyscallError',
  'NetlinkError',
  'CodedError',
]);
for (const file of globSync('packages/*/src/**/*.ts')) {
  for (const match of readFileSync(file, 'utf8').matchAll(/class (\w+) extends CodedError\b/g)) {
    if (!known.has(match[1]!))
      problems.push(`${file}: ${match[1]} has codes; add it to scripts/check-errors.ts and docs/errors.md`);
  }
}

for (const problem of problems) console.error(problem);
console.error(problems.length === 0 ? 'errors: all documented' : `errors: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
