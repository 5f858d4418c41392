import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSelections } from './selection.ts';

const read = (text: string, taken: string[] = ['lo', 'eth0']) =>
  parseSelections(text, { namespace: 'shop', taken });
const names = (text: string, taken?: string[]) =>
  read(text, taken).map(({ namespace, name, ifName }) => `${namespace}/${name}@${ifName}`);

test('the short form: names, namespaces, interfaces', () => {
  assert.deepEqual(names('a'), ['shop/a@net1']);
  assert.deepEqual(names(' a, other/b@data0 ,c '), ['shop/a@net1', 'other/b@data0', 'shop/c@net2']);
  assert.deepEqual(names(''), []);
  assert.deepEqual(names('a,a'), ['shop/a@net1', 'shop/a@net2'], 'the same one twice');
});

test('interfaces get the first free number, whatever others are called', () => {
  assert.deepEqual(names('a,b@net1,c'), ['shop/a@net2', 'shop/b@net1', 'shop/c@net3']);
  assert.deepEqual(names('a', ['lo', 'eth0', 'net1']), ['shop/a@net2']);
});

test('the JSON form has all of it', () => {
  const text = JSON.stringify([
    {
      ...{
        name: 'a',
        namespace: 'other',
        interface: 'data0',
        mac: 'CA:FE:C0:FF:EE:00',
        deviceID: '0000:01:10.0',
      },
      ips: ['192.0.2.7/24', '2001:db8::7'],
      'default-route': ['192.0.2.1'],
      'cni-args': { color: 'blue' },
      portMappings: [{ hostPort: 1 }],
      bandwidth: { ingressRate: 1 },
    },
    { name: 'b' },
  ]);
  assert.deepEqual(read(text), [
    {
      ...{
        name: 'a',
        namespace: 'other',
        ifName: 'data0',
        mac: 'ca:fe:c0:ff:ee:00',
        deviceId: '0000:01:10.0',
      },
      ips: ['192.0.2.7/24', '2001:db8::7'],
      defaultRoute: ['192.0.2.1'],
      cniArgs: { color: 'blue' },
      portMappings: [{ hostPort: 1 }],
      bandwidth: { ingressRate: 1 },
    },
    { namespace: 'shop', name: 'b', ifName: 'net1' },
  ]);
});

test('what is wrong is named', () => {
  const cases: [string, RegExp][] = [
    ['a,,b', /"": want NAME, NAMESPACE\/NAME/],
    ['a/b/c', /"a\/b\/c": want NAME/],
    ['A', /name "A" is no name of Kubernetes/],
    ['../a', /namespace "\.\." is no name/],
    ['a@name-of-16-bytes', /"name-of-16-bytes" is no name of an interface/],
    ['a@eth0', /"a": the pod has an interface "eth0" already/],
    ['a@x,b@x', /"b": the pod has an interface "x" already/],
    ['[{', /JSON: /],
    ['{"name": "a"}', /JSON: want a list/],
    ['[5]', /\[0\]: want an object with a "name"/],
    ['[{}]', /\[0\]: "name" is missing/],
    ['[{"name": "a", "ips": ["x"]}]', /\[0\]\.ips\[0\]: want an address/],
    ['[{"name": "a", "ips": "192.0.2.1"}]', /\[0\]\.ips: want a list/],
    ['[{"name": "a", "mac": "1"}]', /\[0\]\.mac: "1" is no hardware address/],
    ['[{"name": "a", "default-route": ["x"]}]', /\[0\]\.default-route\[0\]: want the address of a gateway/],
    ['[{"name": "a", "cni-args": []}]', /\[0\]\.cni-args: want an object/],
    ['[{"name": "a", "interface": 5}]', /\[0\]\.interface: want a string/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => read(text), { code: 'invalid-argument', message }, text);
  }
});
