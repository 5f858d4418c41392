// Objects and answers of the fake API server (fake-kube-api.ts).
import type http from 'node:http';

export interface FakeNode {
  metadata: { name: string; resourceVersion: string; annotations: Record<string, string> };
  spec: { podCIDR?: string; podCIDRs?: string[] };
  status: { conditions: Record<string, string>[] };
}

export interface WatchEvent {
  revision: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  node: FakeNode;
}

/** A strategic merge patch: annotations by key, null takes one away; conditions by type. */
export function patchNode(node: FakeNode, patch: Partial<FakeNode>): void {
  for (const [key, value] of Object.entries<string | null>(patch.metadata?.annotations ?? {})) {
    if (value === null) delete node.metadata.annotations[key];
    else node.metadata.annotations[key] = value;
  }
  for (const condition of patch.status?.conditions ?? []) {
    const others = node.status.conditions.filter(({ type }) => type !== condition.type);
    node.status.conditions = [...others, condition];
  }
}

export function eventLine({ type, node }: WatchEvent): string {
  return `${JSON.stringify({ type, object: node })}\n`;
}

export function sendJson(response: http.ServerResponse, value: object): void {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(value));
}

export function sendStatus(response: http.ServerResponse, code: number, status: object): void {
  response.writeHead(code, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, ...status }));
}
