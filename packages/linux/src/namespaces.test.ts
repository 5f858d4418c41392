import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isNamespace, namespaceId, sysctlGet, sysctlPath, threadNetnsIds } from './namespaces.ts';

describe('sysctlPath', () => {
  const cases: [string, string][] = [
    ['net.ipv4.ip_forward', '/proc/sys/net/ipv4/ip_forward'],
    ['net/ipv4/conf/eth0.100/rp_filter', '/proc/sys/net/ipv4/conf/eth0.100/rp_filter'],
    ['net.ipv4.conf.eth0/100.rp_filter', '/proc/sys/net/ipv4/conf/eth0.100/rp_filter'],
  ];
  for (const [key, path] of cases) it(key, () => assert.equal(sysctlPath(key), path));
  for (const key of ['', 'net..x', 'net/../../etc/passwd', './x']) {
    it(`refuses ${JSON.stringify(key)}`, () => assert.throws(() => sysctlPath(key), RangeError));
  }
});

describe('namespaces of this process', () => {
  it('reads a sysctl', () => assert.match(sysctlGet('kernel.ostype'), /^Linux$/));
  it('knows a namespace from a file', () => {
    assert.equal(isNamespace('/proc/self/ns/net'), true);
    assert.equal(isNamespace('/proc/self/status'), false);
    assert.equal(isNamespace('/nonexistent'), false);
  });
  it('counts the namespaces of threads', () => {
    const ids = threadNetnsIds(
      () => ['1', '2', '3'],
      (path) => (path.includes('/2/') ? 'b' : 'a'),
    );
    assert.deepEqual([...ids], ['a', 'b']);
    assert.equal(namespaceId('/proc/self/ns/net'), namespaceId('/proc/thread-self/ns/net'));
  });
});
