/** Pods of the routed network, through the whole runtime. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createResource, listResources, openEmbeddedDatastore } from '@amphipod/fabric';
import { useServer } from './support/fixture.ts';
import { execText, podIp, removePod, runPod, startContainer } from './support/pods.ts';

describe('pods of a routed network', () => {
  const fixture = useServer('amphipod', (dir) => ({
    cniConfigs: {
      '10-calico.conflist': JSON.stringify({
        cniVersion: '1.1.0',
        name: 'routed',
        plugins: [
          {
            type: 'calico',
            datastore_type: 'embedded',
            database: `${dir}/network.db`,
            nodename: 'n1',
            ipam: { type: 'calico-ipam' },
            capabilities: { 'io.kubernetes.cri.pod-annotations': true },
          },
          { type: 'portmap', capabilities: { portMappings: true } },
        ],
      }),
    },
  }));
  const open = () => openEmbeddedDatastore(`${fixture.server.dir}/network.db`);
  before(async () => {
    await using store = open();
    await createResource(store, {
      kind: 'IPPool',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'pool' },
      spec: { cidr: '10.203.0.0/24' },
    });
  });

  test('a pod gets the address that its annotation asks for, and everything goes with it', async () => {
    const annotations = { 'cni.projectcalico.org/ipAddrs': '["10.203.0.77"]' };
    const pod = await runPod(fixture.cri, { metadata: { name: 'asker', namespace: 'shop' }, annotations });
    assert.equal(await podIp(fixture.cri, pod), '10.203.0.77');
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    assert.match(await execText(fixture.cri, id, ['ip', 'route']), /default via 169\.254\.1\.1 dev eth0/);
    await using store = open();
    const { resources } = await listResources(store, 'WorkloadEndpoint');
    assert.deepEqual(
      resources.map(({ metadata, spec }) => [metadata.namespace, metadata.name, spec.ipNetworks]),
      [['shop', 'n1-k8s-asker-eth0', ['10.203.0.77/32']]],
    );
    await removePod(fixture.cri, pod);
    assert.deepEqual((await listResources(store, 'WorkloadEndpoint')).resources, []);
    assert.deepEqual((await listResources(store, 'IPAMHandle')).resources, []);
  });
});
