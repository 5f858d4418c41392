import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ContainerConfig } from '../gen/api.ts';
import { processArgs, processEnv } from './process.ts';

const config = (fields: Parameters<typeof ContainerConfig.fromPartial>[0]) =>
  ContainerConfig.fromPartial(fields);
const image = { Entrypoint: ['/entry'], Cmd: ['cmd'], Env: ['PATH=/image', 'A=1'] };

describe('processArgs', () => {
  const cases: [string, Parameters<typeof config>[0], string[]][] = [
    ['image alone', {}, ['/entry', 'cmd']],
    ['args replace CMD', { args: ['x'] }, ['/entry', 'x']],
    ['command replaces ENTRYPOINT and drops CMD', { command: ['/c'] }, ['/c']],
    ['both', { command: ['/c'], args: ['x'] }, ['/c', 'x']],
  ];
  for (const [name, fields, expected] of cases) {
    it(name, () => assert.deepEqual(processArgs(config(fields), image), expected));
  }
  it('refuses nothing at all', () =>
    assert.throws(() => processArgs(config({}), {}), { code: 'invalid-argument' }));
});

describe('processEnv', () => {
  it('takes the container before the image before the defaults, each name once', () => {
    const env = processEnv(config({ envs: [{ key: 'A', value: Buffer.from('é=2') }], tty: true }), image, {
      hostname: 'host',
      home: '/home/a',
    });
    assert.deepEqual(env.toSorted(), ['A=é=2', 'HOME=/home/a', 'HOSTNAME=host', 'PATH=/image', 'TERM=xterm']);
  });
});
