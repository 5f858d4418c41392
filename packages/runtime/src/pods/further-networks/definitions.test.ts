import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findDefinition, loadDefinitions } from './definitions.ts';

const yaml = `
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: fast
  namespace: shop
  annotations:
    k8s.v1.cni.cncf.io/resourceName: example.com/fast
spec:
  config: '{ "cniVersion": "1.0.0", "type": "sriov", "vlan": 5 }'
---
kind: NetworkAttachmentDefinition
metadata: { name: by-name }
---
kind: Service
metadata: { name: other }
`;

function directory(files: Record<string, string>) {
  const dir = mkdtempSync(join(tmpdir(), 'networks-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

test('definitions come from YAML, JSON and plain CNI configurations', async () => {
  const list = { cniVersion: '1.1.0', name: 'lan', plugins: [{ type: 'macvlan' }] };
  using given = directory({
    'a.yaml': yaml,
    'b.conflist': JSON.stringify(list),
    'c.json': JSON.stringify({
      kind: 'NetworkAttachmentDefinition',
      metadata: { name: 'listed' },
      spec: { config: JSON.stringify(list) },
    }),
    'd.conf': JSON.stringify({ cniVersion: '1.0.0', name: 'single', type: 'ptp' }),
    'README.txt': 'not looked at',
  });
  const { definitions, errors } = await loadDefinitions(given.dir);
  assert.deepEqual(
    definitions.map(({ namespace = '*', name, resourceName = '', list }) => [
      namespace,
      name,
      resourceName,
      list?.name,
    ]),
    [
      ['shop', 'fast', 'example.com/fast', 'fast'],
      ['default', 'by-name', '', undefined],
      ['*', 'lan', '', 'lan'],
      ['default', 'listed', '', 'lan'],
      ['*', 'single', '', 'single'],
    ],
  );
  assert.deepEqual(
    errors.map(({ message }) => message.replace(given.dir, 'DIR')),
    ['read network DIR/a.yaml: kind: got "Service", want "NetworkAttachmentDefinition"'],
  );
});

test('a definition of the namespace goes before one for all; a missing one says what else is wrong', async () => {
  const conf = (vlan: number) => JSON.stringify({ cniVersion: '1.0.0', name: 'fast', type: 'sriov', vlan });
  using given = directory({ 'a.conf': conf(1), 'b.yaml': yaml, 'c.json': '{' });
  const loaded = await loadDefinitions(given.dir);
  const find = (namespace: string, name: string) => findDefinition(loaded, { namespace, name }, given.dir);
  assert.equal(find('shop', 'fast').list?.plugins[0]?.vlan, 5);
  assert.equal(find('other', 'fast').list?.plugins[0]?.vlan, 1);
  assert.throws(() => find('shop', 'by-name'), {
    code: 'unavailable',
    message: /find network "shop\/by-name": it is not defined in .* \(read network .*\/b\.yaml: kind/,
  });
  assert.deepEqual(await loadDefinitions('/nonexistent/file'), { definitions: [], errors: [] });
});

test('a broken file does not hide the others', async () => {
  const bad = {
    'a.yaml': 'kind: [',
    'b.json': '[]',
    'c.yaml': 'kind: NetworkAttachmentDefinition\nspec: {}',
    'd.yaml': 'kind: NetworkAttachmentDefinition\nmetadata: {name: x}\nspec: {config: {type: bridge}}',
    'e.yaml':
      'kind: NetworkAttachmentDefinition\nmetadata: {name: x}\nspec: {config: \'{"cniVersion": "1.0.0"}\'}',
  };
  using given = directory({ ...bad, 'z.conf': '{"cniVersion": "1.0.0", "name": "z", "type": "ptp"}' });
  const { definitions, errors } = await loadDefinitions(given.dir);
  assert.deepEqual(
    definitions.map(({ name }) => name),
    ['z'],
  );
  const expected = [
    /a\.yaml: /,
    /b\.json: want an object/,
    /c\.yaml: metadata\.name: missing/,
    /d\.yaml: spec\.config: want a string/,
    /e\.yaml: .*type/,
  ];
  assert.equal(errors.length, expected.length);
  for (const [i, message] of expected.entries()) assert.match(errors[i]!.message, message);
});
