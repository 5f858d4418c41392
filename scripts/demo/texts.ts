export interface Addresses {
  pod: string;
  /** On this machine. */
  local: string;
  /** For other machines, when this one has an address. */
  remote: string | undefined;
}

/** What to try once the pod runs. */
export function nextSteps(socket: string, addresses: Addresses): string {
  const remote = addresses.remote === undefined ? '' : `\n    ${addresses.remote}    from other machines`;
  return `
  The pod answers at
    ${addresses.pod}    its own address
    ${addresses.local}    the port on this machine${remote}

  Try, in another terminal:
    export AMPHIPOD_SOCKET=${socket}
    bin/amphipod ps -o wide
    bin/amphipod logs -f hello
    bin/amphipod exec hello ps
    bin/amphipod run --rm localhost/hello wget -qO- ${addresses.pod}
    crictl --runtime-endpoint unix://${socket} pods

  Ctrl-C stops the pod and takes everything away again.
`;
}
