import { existsSync } from 'node:fs';
import { CniError } from '@amphipod/cni';
import { runProgram } from '../lib/run-program.ts';

const SERVICE = 'org.fedoraproject.FirewallD1';
const PATH = '/org/fedoraproject/FirewallD1';
const BUS_SOCKET = '/run/dbus/system_bus_socket';
/** Without one of these the bus gives firewalld's name to nobody. */
const busPolicies = ['/usr/share', '/etc'].map((dir) => `${dir}/dbus-1/system.d/FirewallD.conf`);

/** Whether firewalld has its name on the system bus. Starts a process only where firewalld is installed. */
export async function isFirewalldRunning(): Promise<boolean> {
  if (process.env.DBUS_SYSTEM_BUS_ADDRESS === undefined && !existsSync(BUS_SOCKET)) return false;
  if (!busPolicies.some((path) => existsSync(path))) return false;
  const bus = 'org.freedesktop.DBus';
  const end = await busctl(bus, '/org/freedesktop/DBus', bus, 'NameHasOwner', 's', SERVICE);
  return end.exitCode === 0 && end.stdout.trim() === 'b true';
}

/** Puts an address (`10.0.0.2/32`) into a zone; content when it is there. @throws CniError in the reference's words */
export async function addZoneSource(zone: string, address: string): Promise<void> {
  const { exitCode, stderr } = await callZone('addSource', zone, address);
  if (exitCode === 0 || stderr.includes('ZONE_ALREADY_SET')) return;
  throw new CniError(
    'internal',
    `failed to add the address ${address} to ${zone} zone: ${stderr.trim() || `exit code ${exitCode}`}`,
  );
}

/** Takes an address out of a zone. As with the reference, what goes wrong is no failure: firewalld may be gone with its zones. */
export async function removeZoneSource(zone: string, address: string): Promise<void> {
  await callZone('removeSource', zone, address);
}

export async function isZoneSource(zone: string, address: string): Promise<boolean> {
  const { exitCode, stdout } = await callZone('querySource', zone, address);
  return exitCode === 0 && stdout.trim() === 'b true';
}

function callZone(method: string, zone: string, address: string): ReturnType<typeof busctl> {
  return busctl(SERVICE, PATH, `${SERVICE}.zone`, method, 'ss', zone, address);
}

async function busctl(...call: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const end = await runProgram('busctl', ['--system', 'call', ...call]);
  if (end !== undefined) return end;
  throw new CniError('internal', 'run busctl: not found', {
    details: 'it is how firewalld is asked; install the Debian package "systemd"',
  });
}
