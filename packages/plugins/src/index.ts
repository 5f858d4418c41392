import type { InProcessPlugins } from '@amphipod/cni';

export declare function builtinPlugins(): InProcessPlugins;
