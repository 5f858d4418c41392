import { CgroupDriver, type RuntimeConfigRequest, type RuntimeConfigResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';

/** RuntimeConfig: tells the kubelet which cgroup driver to use. */
export const runtimeConfig: Handler<RuntimeConfigRequest, RuntimeConfigResponse> = ({ cgroupDriver }) => ({
  linux: { cgroupDriver: cgroupDriver === 'systemd' ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS },
});
