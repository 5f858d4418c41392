import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { linkPluginCases } from './lib/link-plugin-cases.ts';
import { lacksLinkKind, lacksPlugin } from './lib/requirements.ts';
import { subjects } from './lib/subjects.ts';
import { call, failureOf, links, World } from './lib/world.ts';

for (const subject of subjects) {
  const skip = lacksPlugin(subject, 'dummy') || lacksLinkKind('dummy');
  describe(`dummy, ${subject.name}`, { skip }, () => {
    linkPluginCases(subject, { type: 'dummy', kind: 'dummy', keys: {}, referenceLeaks: false });
  });

  describe(`dummy without IPAM, ${subject.name}`, { skip: lacksPlugin(subject, 'dummy') }, () => {
    test('ADD and CHECK refuse, DEL succeeds', async () => {
      using world = new World();
      const netns = world.netns('a');
      for (const verb of ['ADD', 'CHECK'] as const) {
        const error = await failureOf(call(subject, verb, { type: 'dummy' }, { netns, prevResult: {} }));
        assert.match(error.message, /dummy interface requires an IPAM configuration/);
      }
      assert.deepEqual(
        links(netns).map(({ ifname }) => ifname),
        ['lo'],
      );
      if (subject.isOurs) await call(subject, 'DEL', { type: 'dummy' }, { netns });
    });
  });
}
