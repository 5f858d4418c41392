import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { offeredProtocols, refuseUpgrade } from './http-upgrade.ts';

const maxMessageBytes = 16 << 20;

/**
 * Answers an upgrade to WebSocket with the first protocol of the client's that is `served`, '' for a client that names
 * none, and calls `onOpen` when it is open. Refuses a client that names others only.
 */
export function acceptWebSocket(
  request: IncomingMessage,
  { socket, head, served }: { socket: Socket; head: Buffer; served: readonly string[] },
  onOpen: (webSocket: WebSocket, protocol: string) => void,
): void {
  const offered = offeredProtocols(request.headers['sec-websocket-protocol']);
  const protocol = offered.find((one) => served.includes(one));
  if (offered.length > 0 && protocol === undefined) {
    refuseUpgrade(socket, 400, `no protocol of ${offered.join(', ')} is served`);
    return;
  }
  // Agreed on here, because ws takes no names with a slash: Kubernetes has `SPDY/3.1+portforward.k8s.io`.
  delete request.headers['sec-websocket-protocol'];
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: maxMessageBytes,
    perMessageDeflate: false,
  });
  if (protocol !== undefined)
    server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`));
  server.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on('error', () => {});
    onOpen(webSocket, protocol ?? '');
  });
}
