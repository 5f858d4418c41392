// A FAKE of the two calls of a Kubernetes API server that the plugin calico makes: a pod and a namespace. What a real one does
// otherwise no test with it can show.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakePodApi extends AsyncDisposable {
  /** By path: `/api/v1/namespaces/default/pods/web`. */
  objects: Map<string, object>;
  /** Paths that were asked for. */
  requests: string[];
}

/** Serves objects, and writes a kubeconfig file that leads to them with a token. */
export async function startFakePodApi(kubeconfig: string): Promise<FakePodApi> {
  const objects = new Map<string, object>();
  const requests: string[] = [];
  const server = http.createServer((request, response) => {
    const path = request.url ?? '';
    requests.push(path);
    const isLetIn = request.headers.authorization === 'Bearer a-token';
    const found = objects.get(path);
    const status = !isLetIn ? 401 : found === undefined ? 404 : 200;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(found ?? { kind: 'Status', code: status, message: `no ${path}` }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: 'u', user: { token: 'a-token' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  return {
    objects,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await once(server.close(), 'close');
    },
  };
}
