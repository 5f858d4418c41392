import type { VersionRequest, VersionResponse } from '../gen/api.ts';
import { runtimeVersion } from '../version.ts';
import type { Handler } from './call.ts';

/** Version: `version` must be "0.1.0", the only one that the kubelet accepts. */
export const version: Handler<VersionRequest, VersionResponse> = () => ({
  version: '0.1.0',
  runtimeName: 'amphipod',
  runtimeVersion: runtimeVersion,
  runtimeApiVersion: 'v1',
});
