import { openDatastore, openPluginHost, type PluginHost } from '@amphipod/plugins';

/** What every request of the refusing host ends with. */
export class Refused extends Error {
  constructor(what: string) {
    super(`refused: ${what}`);
    this.name = 'Refused';
  }
}

/** A host that lets nothing be done: every use of the kernel or of a datastore is an error. */
export function refusingHost(): PluginHost {
  const refuse = (what: string) => () => {
    throw new Refused(what);
  };
  const connection = (what: string): never =>
    new Proxy({}, { get: (_target, name) => refuse(`${what}.${String(name)}`) }) as never;
  const host = openPluginHost({
    openRtnl: () => connection('rtnl'),
    openNft: () => connection('nft'),
    async openDatastore(settings) {
      // What cannot be opened is told of; nothing is sent before the first call.
      await using store = await openDatastore(settings);
      return new Proxy(store, {
        get: (_target, name) => (name === 'then' ? undefined : refuse(`store.${String(name)}`)),
      });
    },
  });
  return Object.create(host, { openPod: { value: refuse('openPod') } }) as PluginHost;
}
