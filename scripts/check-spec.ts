// Checks that every test that docs/cni-spec.md names is in the file it names, and that every requirement has one.
import { globSync, readFileSync } from 'node:fs';

const page = 'docs/cni-spec.md';
const problems: string[] = [];
const files = globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts']);
const titles = new Map<string, Set<string>>();

/** The titles in the file whose path ends like this, as they stand in its source; undefined when there is not just one. */
function titlesIn(name: string): Set<string> | undefined {
  const [file, ...others] = files.filter((path) => path.endsWith(`/${name}`));
  if (file === undefined || others.length > 0) return undefined;
  let found = titles.get(name);
  if (found === undefined) {
    const calls = readFileSync(file, 'utf8').matchAll(
      /\b(?:test|fuzz)\(\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)"|`((?:\\.|[^`\\])*)`|(\w+),)/g,
    );
    found = new Set(
      // A title that is a variable is named as in a template.
      [...calls].map(([, ...texts]) =>
        texts[3] === undefined ? texts.find(Boolean)!.replaceAll(/\\(.)/g, '$1') : `\${${texts[3]}}`,
      ),
    );
    titles.set(name, found);
  }
  return found;
}

let requirements = 0;
for (const [i, line] of readFileSync(page, 'utf8').split('\n').entries()) {
  const row = /^\| ([A-Z]\d+) \| [MS] \|.*\| (.*) \|$/.exec(line);
  const complain = (why: string) => problems.push(`${page}:${i + 1}: ${why}`);
  if (row === null) {
    if (/^\| [A-Z]\d/.test(line)) complain('want | number | M or S | requirement | how | tests |');
    continue;
  }
  requirements++;
  for (const named of row[2]!.split('<br>')) {
    const [, file, title] = /^([\w./-]+\.test\.ts): (.+)$/.exec(named) ?? [];
    if (file === undefined) complain(`${JSON.stringify(named)} names no test, want FILE: TITLE`);
    else if (titlesIn(file) === undefined) complain(`there is no file ${file}, or several`);
    else if (!titlesIn(file)!.has(title!)) complain(`${file} has no test ${JSON.stringify(title)}`);
  }
}
if (requirements === 0) problems.push(`${page}: no requirement found`);

for (const problem of problems) console.error(problem);
console.error(
  problems.length === 0
    ? `spec: ${requirements} requirements, every test is there`
    : `spec: ${problems.length} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
