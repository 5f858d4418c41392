import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyFor } from './proxy.ts';

const proxy = (url: string, env: NodeJS.ProcessEnv) => proxyFor(new URL(url), env)?.href;

test('HTTP_PROXY is for http, HTTPS_PROXY for https, in either case; neither for loopback', () => {
  const env = { HTTP_PROXY: 'plain.example:3128', https_proxy: 'http://u:p@secure.example' };
  assert.equal(proxy('http://a.example/', env), 'http://plain.example:3128/');
  assert.equal(proxy('https://a.example/', env), 'http://u:p@secure.example/');
  for (const host of ['127.0.0.1:5000', 'localhost', '[::1]:5000', '127.1.2.3'])
    assert.equal(proxy(`http://${host}/`, env), undefined, host);
  assert.equal(proxy('https://a.example/', { HTTP_PROXY: 'x' }), undefined);
  assert.equal(proxy('https://a.example/', { HTTPS_PROXY: '' }), undefined);
});

test('NO_PROXY: domains with what is below, .domain, *.domain, addresses, ranges, ports, *', () => {
  const isDirect = (url: string, noProxy: string) =>
    proxy(url, { HTTPS_PROXY: 'p.example', HTTP_PROXY: 'p.example', NO_PROXY: noProxy }) === undefined;
  const yes: [string, string][] = [
    ['https://a.example', 'b.example, a.example'],
    ['https://x.a.example', 'a.example'],
    ['https://x.a.example', '.a.example'],
    ['https://x.a.example', '*.a.example'],
    ['https://A.Example', 'a.EXAMPLE'],
    ['https://a.example:5000', 'a.example:5000'],
    ['https://a.example', 'a.example:443'],
    ['http://a.example', 'a.example:80'],
    ['https://10.1.2.3:5000', '10.1.2.3'],
    ['https://10.1.2.3:5000', '10.0.0.0/8'],
    ['https://[fd00::5]:5000', 'fd00::/16'],
    ['https://[fd00::5]:5000', 'fd00::5'],
    ['https://[fd00::5]:5000', '[fd00::5]:5000'],
    ['https://a.example', '*'],
  ];
  const no: [string, string][] = [
    ['https://a.example', ''],
    ['https://xa.example', 'a.example'],
    ['https://a.example', '.a.example'],
    ['https://a.example:5000', 'a.example:443'],
    ['https://11.1.2.3', '10.0.0.0/8'],
    ['https://10.1.2.3', '2.3'],
    ['https://10.1.2.3', '10.0.0.0/33'],
    ['https://10.1.2.3', 'fd00::/8'],
    ['https://[fd01::5]', 'fd00::/16'],
  ];
  for (const [url, noProxy] of yes) assert.ok(isDirect(url, noProxy), `${url} ${noProxy}`);
  for (const [url, noProxy] of no) assert.ok(!isDirect(url, noProxy), `${url} ${noProxy}`);
});

test('a proxy of another kind is refused by name, and its password is not shown', () => {
  for (const text of ['socks5://u:secret@p.example:1080', 'http://', 'http://u:secret@ nowhere']) {
    assert.throws(
      () => proxy('https://a.example', { HTTPS_PROXY: text }),
      (error: Error) => {
        assert.match(error.message, /^read HTTPS_PROXY: .* is not the address of an HTTP proxy$/);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  }
});
