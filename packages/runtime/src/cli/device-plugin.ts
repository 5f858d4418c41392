import { defineCommand } from './command.ts';
import { CliError } from './errors.ts';

export const command = defineCommand({
  name: 'device-plugin',
  summary: 'Give devices of pools to the kubelet, in the foreground',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {
    pools: {
      type: 'string',
      value: 'FILE',
      help: 'pools, as of sriov-network-device-plugin (/etc/pcidp/config.json)',
    },
    'kubelet-dir': {
      type: 'string',
      value: 'DIR',
      help: "the kubelet's socket (/var/lib/kubelet/device-plugins)",
    },
  },
  details: `Needs root. Makes the virtual functions that the file declares (vfCounts), serves a device plugin for each pool and registers it with the
kubelet, again whenever the kubelet starts. The file is read at the start.

Example:
  amphipod device-plugin --pools /etc/pcidp/config.json`,
  async run(_operands, options, { stderr }) {
    const { createLog } = await import('../log.ts');
    const { runDevicePlugin } = await import('../daemon/run-device-plugin.ts');
    const log = createLog({ level: 'info', format: 'text', write: (line) => stderr.write(line) });
    try {
      await runDevicePlugin({
        file: options.pools ?? '/etc/pcidp/config.json',
        kubeletDir: options['kubelet-dir'] ?? '/var/lib/kubelet/device-plugins',
        log,
      });
      return 0;
    } catch (error) {
      throw new CliError((error as Error).message, { cause: error });
    }
  },
});
