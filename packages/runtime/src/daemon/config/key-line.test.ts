import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyLine } from './key-line.ts';

const text = `# a comment with key = "no"
first = 1

list = [
  "a", # key = 2
  "b",
]
text = """
key = 3
"""
"quoted key" = true
[runtimes.kata]
path = "/bin/kata"
[runtimes."a.b"]
options = [
  "x"]
dotted.inside.key = 1
`;

test('the line on which a value begins', () => {
  const lines: [path: string[], line: number | undefined][] = [
    [['first'], 2],
    // The blank line before it parses too, so what follows is where it begins.
    [['list'], 4],
    [['text'], 8],
    [['quoted key'], 11],
    [['runtimes'], 12],
    [['runtimes', 'kata', 'path'], 13],
    [['runtimes', 'a.b', 'options'], 15],
    [['runtimes', 'a.b', 'dotted', 'inside', 'key'], 17],
    [['key'], undefined],
    [['toString'], undefined],
  ];
  for (const [path, line] of lines) assert.equal(keyLine(text, path), line, path.join('.'));
});
