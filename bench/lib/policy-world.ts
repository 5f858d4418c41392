import { parseDocument, type Resource } from '@amphipod/fabric/policy';
import { parseIp } from '@amphipod/netlink';

const LOCAL_PODS = 100;

/** How much there is: every hundredth namespace has its share. */
export interface WorldSize {
  policies: number;
  remotePods: number;
}

/** The address of the local pod of a namespace. */
export function localIp(namespace: number): string {
  return `10.1.${namespace}.1`;
}

/** The address of a pod on another node. */
export function remoteIp(index: number): string {
  return `10.${2 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

/** One pod of this node, or of another one where `node` says so. */
export function podDocument(
  name: string,
  ip: string,
  rest: { namespace: string; labels: object; node?: string },
): Resource {
  const { namespace, labels, node } = rest;
  parseIp(ip);
  return resource({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: node === undefined ? {} : { nodeName: node },
    status: { podIP: ip },
  });
}

/** 100 namespaces, each with a local pod and its share of the rest. Each policy lets other clients reach the local pod. */
export function worldResources({ policies, remotePods }: WorldSize): Resource[] {
  const resources: Resource[] = [];
  for (let index = 0; index < LOCAL_PODS; index++) {
    resources.push(podDocument('web', localIp(index), { namespace: `ns-${index}`, labels: { app: 'web' } }));
  }
  for (let index = 0; index < remotePods; index++) {
    const namespace = `ns-${index % LOCAL_PODS}`;
    const labels = { app: `client-${Math.floor(index / LOCAL_PODS)}` };
    resources.push(podDocument(`remote-${index}`, remoteIp(index), { namespace, labels, node: 'other' }));
  }
  for (let index = 0; index < policies; index++) {
    resources.push(policyDocument(`ns-${index % LOCAL_PODS}`, Math.floor(index / LOCAL_PODS)));
  }
  return resources;
}

function policyDocument(namespace: string, index: number): Resource {
  const peer = { podSelector: { matchLabels: { app: `client-${index}` } } };
  return resource({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `policy-${index}`, namespace },
    spec: {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [peer], ports: [{ port: 80 }, { port: 5201 }] }],
    },
  });
}

function resource(document: object): Resource {
  return parseDocument(document, { file: 'bench', document: 1 });
}
