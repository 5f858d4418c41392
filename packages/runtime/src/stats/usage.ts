import {
  type CgroupMemoryUsage,
  cgroupCpuUsage,
  cgroupMemoryUsage,
  cgroupPressure,
  type Pressure,
  type PressureLine,
} from '@amphipod/linux';
import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import type { CpuUsage, IoUsage, MemoryUsage, PsiData, PsiStats, SwapUsage } from '../gen/api.ts';

/** What one control group uses, as CRI says it. A part is undefined where this machine does not count it. */
export interface GroupUsage {
  cpu: CpuUsage;
  memory: MemoryUsage;
  swap: SwapUsage | undefined;
  io: IoUsage | undefined;
}

/** Reads the files of a group; undefined when it is gone. */
export function groupUsage(context: RuntimeContext, cgroupPath: string): GroupUsage | undefined {
  const { cgroups, cpuRates } = context;
  const cpu = cgroupCpuUsage(cgroups, cgroupPath);
  const memory = cgroupMemoryUsage(cgroups, cgroupPath);
  if (cpu === undefined || memory === undefined) {
    cpuRates.forget(cgroupPath);
    return undefined;
  }
  const timestamp = nowNs();
  const nanoCores = cpuRates.note(cgroupPath, { atNs: process.hrtime.bigint(), usageNs: cpu.usageNs });
  const pressure = (resource: 'cpu' | 'memory' | 'io') =>
    pressureMessage(cgroupPressure(cgroups, cgroupPath, resource));
  const io = pressure('io');
  return {
    cpu: {
      timestamp,
      usageCoreNanoSeconds: { value: cpu.usageNs },
      usageNanoCores: nanoCores === undefined ? undefined : { value: nanoCores },
      psi: pressure('cpu'),
    },
    memory: memoryMessage(memory, { timestamp, psi: pressure('memory') }),
    swap: swapMessage(memory, timestamp),
    io: io && { timestamp, psi: io },
  };
}

function memoryMessage(
  memory: CgroupMemoryUsage,
  { timestamp, psi }: { timestamp: bigint; psi: PsiStats | undefined },
): MemoryUsage {
  const { limitBytes, workingSetBytes } = memory;
  return {
    timestamp,
    workingSetBytes: { value: workingSetBytes },
    // Unset without a limit: the node's free memory is not this group's.
    availableBytes: whatIsLeft(limitBytes, workingSetBytes),
    usageBytes: { value: memory.usageBytes },
    rssBytes: { value: memory.rssBytes },
    pageFaults: { value: memory.pageFaults },
    majorPageFaults: { value: memory.majorPageFaults },
    psi,
  };
}

function swapMessage(
  { swapBytes, swapLimitBytes }: CgroupMemoryUsage,
  timestamp: bigint,
): SwapUsage | undefined {
  if (swapBytes === undefined) return undefined;
  return {
    timestamp,
    swapUsageBytes: { value: swapBytes },
    swapAvailableBytes: whatIsLeft(swapLimitBytes, swapBytes),
  };
}

function whatIsLeft(limit: bigint | undefined, used: bigint): { value: bigint } | undefined {
  if (limit === undefined) return undefined;
  return { value: limit > used ? limit - used : 0n };
}

function pressureMessage(pressure: Pressure | undefined): PsiStats | undefined {
  return pressure && { Full: pressureLine(pressure.full), Some: pressureLine(pressure.some) };
}

function pressureLine({ avg10, avg60, avg300, totalNs }: PressureLine): PsiData {
  return { Total: totalNs, Avg10: avg10, Avg60: avg60, Avg300: avg300 };
}
