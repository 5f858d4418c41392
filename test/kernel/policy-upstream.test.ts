import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openNftIn } from '@amphipod/netlink';
import { parseDocument } from '../../packages/fabric/src/policy/documents/parse-document.ts';
import { resourceKey } from '../../packages/fabric/src/policy/documents/resources.ts';
import { startPolicy } from '../../packages/fabric/src/policy/kernel/start-policy.ts';
import { PolicyWorld } from '../../packages/fabric/src/policy/model/policy-world.ts';
import { createPodNetwork, type PodNetwork } from './policy-pods.ts';
import { namespaceDocument, type Place, type Probing, podDocument, scenarios } from './policy-upstream.ts';

const places: Place[] = ['x', 'y', 'z'].flatMap((namespace) =>
  ['a', 'b', 'c'].map((pod) => ({ namespace, pod })),
);
const ipOf = (place: Place) => `10.0.0.${1 + places.findIndex((one) => nameOf(one) === nameOf(place))}`;

function nameOf({ namespace, pod }: Place): string {
  return `${namespace}/${pod}`;
}

async function probe(network: PodNetwork, { port, protocol, isAllowed }: Probing): Promise<void> {
  const pairs = places.flatMap((from, index) =>
    places.filter((to) => to !== from).map((to) => ({ from, to, index })),
  );
  const answers = await Promise.all(
    pairs.map(async ({ from, to, index }) => {
      const isReached = await network.pods[index]!.reaches(protocol, ipOf(to), port);
      return `${nameOf(from)} ${nameOf(to)} ${isReached ? 'allowed' : 'denied'}`;
    }),
  );
  const wanted = pairs.map(({ from, to }) => {
    return `${nameOf(from)} ${nameOf(to)} ${isAllowed(from, to) ? 'allowed' : 'denied'}`;
  });
  assert.deepEqual(answers, wanted, `${protocol} ${port}`);
}

describe('the scenarios of Kubernetes’ end-to-end suite, with pods on a bridge', () => {
  let network: PodNetwork;
  let nft: ReturnType<typeof openNftIn>;
  const scope = new AsyncDisposableStack();
  before(async () => {
    const addresses = places.map((place, index) => [ipOf(place), `fd00::${index + 1}`] as const);
    network = scope.use(await createPodNetwork('bridged', addresses));
    nft = scope.use(openNftIn(network.host.pin));
  });
  after(() => scope.disposeAsync());

  for (const { name, steps } of scenarios(ipOf)) {
    it(name, async () => {
      const world = new PolicyWorld();
      const put = (document: object) => world.put(parseDocument(document, { file: name, document: 1 }));
      for (const namespace of ['x', 'y', 'z']) put(namespaceDocument(namespace));
      for (const place of places) put(podDocument(place, [ipOf(place)]));
      using policy = startPolicy({ world, nft });
      for (const step of steps) {
        for (const document of step.put ?? []) put(document);
        for (const gone of step.remove ?? []) {
          world.remove(
            resourceKey({ kind: 'NetworkPolicy', group: 'networking.k8s.io', namespace: 'x', name: gone }),
          );
        }
        policy.apply();
        for (const probing of step.expect) await probe(network, probing);
      }
      policy.remove();
    });
  }
});
