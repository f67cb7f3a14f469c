/**
 * @module
 * Takes away everything that agents have left on the node: interfaces of pods, the node's own
 * interface and routes, attachments and maps below the bpffs, changed sysctls, the state directory.
 * Input: where an agent had them; output: one line for each thing done.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { detachClsact } from '../bpf/libbpf/link.ts';
import { mapsFolder, namesIn } from '../bpf/loader/bpffs.ts';
import { MNT_DETACH, unmount } from '../net/libc.ts';
import { dumpLinks, getLink } from '../net/netlink/link.ts';
import { NetlinkSocket } from '../net/netlink/socket.ts';
import { type Prefix, parsePrefix } from '../net/prefix.ts';
import { sweepLinks } from './endpoint/link-remover.ts';
import { hostInterface, removeHostNetwork, SysctlJournal } from './node/host-interface.ts';

export interface Leftovers {
  readonly stateDirectory: string;
  readonly bpfRoot: string;
}

/** Names in a state directory that an agent writes. What else is there belongs to somebody else. */
const stateNames = [
  'state',
  'deleteQueue',
  'last-good-policies',
  'identities',
  'identities.new',
  'pod-ranges.json',
  'sysctl-journal.json',
  'cilium-cni.log',
  'cilium.sock',
  'hubble.sock',
  'agent.lock',
] as const;

/** Removes all. No agent may be running; may be repeated. */
export function uninstall(left: Leftovers, parts: { readonly state: boolean }): string[] {
  const done: string[] = [];
  const say = (count: number, what: string) => {
    if (count > 0) done.push(what);
  };
  const { stateDirectory } = left;
  const pods = sweepLinks(new Set(), { stateDirectory, spared: new Set() }).deleted;
  say(pods.length, `${pods.length} pod interfaces: ${pods.join(', ')}`);
  detachDevices(left.bpfRoot);
  removeNode(left, say);
  const pins = removePins(left.bpfRoot);
  say(pins, `${pins} pinned maps and attachments below ${left.bpfRoot}`);
  const journal = new SysctlJournal(left.stateDirectory);
  if (existsSync(left.stateDirectory)) journal.restore();
  if (parts.state) removeState(left.stateDirectory, say);
  return done;
}

type Say = (count: number, what: string) => void;

/** Filters on native devices, where the kernel has no links that end with their pin. */
function detachDevices(bpfRoot: string): void {
  using socket = NetlinkSocket.open();
  const names = new Set(namesIn(join(bpfRoot, 'cilium', 'devices')));
  for (const link of dumpLinks(socket)) {
    if (names.has(link.name.replaceAll('.', '_'))) detachClsact(link.index, 'ingress');
  }
}

function removeNode({ stateDirectory }: Leftovers, say: Say): void {
  using socket = NetlinkSocket.open();
  const ranges = rangesIn(join(stateDirectory, 'pod-ranges.json'));
  const hadInterface = getLink(socket, hostInterface) !== undefined;
  removeHostNetwork(socket, hadInterface ? ranges : []);
  say(Number(hadInterface), `interface ${hostInterface} and the routes of the pods' ranges`);
}

/** Those that the last agent noted; none if it is not readable. */
function rangesIn(path: string): Prefix[] {
  try {
    const list: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (!Array.isArray(list)) return [];
    return list.flatMap((text) => (typeof text === 'string' ? (parsePrefix(text) ?? []) : []));
  } catch {
    return [];
  }
}

/** In every bpffs from the start. */
const kernelNames: ReadonlySet<string> = new Set(['maps.debug', 'progs.debug']);

/** Our pins alone: the bpffs may be shared. */
function removePins(bpfRoot: string): number {
  const attachments = join(bpfRoot, 'cilium');
  const maps = mapsFolder(bpfRoot);
  const names = namesIn(maps).filter((name) => name.startsWith('cilium_'));
  for (const name of names) rmSync(join(maps, name), { force: true });
  const links = existsSync(attachments)
    ? readdirSync(attachments, { recursive: true, withFileTypes: true }).filter((one) =>
        one.isFile(),
      )
    : [];
  rmSync(attachments, { recursive: true, force: true });
  for (const folder of [maps, join(bpfRoot, 'tc')]) tryRemoveFolder(folder);
  // An agent mounts a root of its own; the system's is not ours.
  const rest = namesIn(bpfRoot).filter((name) => !kernelNames.has(name));
  const isOwn = bpfRoot !== '/sys/fs/bpf' && isMountPoint(bpfRoot) && rest.length === 0;
  if (isOwn) unmount(bpfRoot, MNT_DETACH);
  return names.length + links.length;
}

function isMountPoint(path: string): boolean {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.some((line) => line.split(' ')[4] === path);
}

function removeState(directory: string, say: Say): void {
  const there = stateNames.filter((name) => existsSync(join(directory, name)));
  for (const name of there) rmSync(join(directory, name), { recursive: true, force: true });
  say(there.length, `state in ${directory}`);
  if (existsSync(directory)) tryRemoveFolder(directory);
}

/** One that others use, too, stays. */
function tryRemoveFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].includes(code)) throw error;
  }
}
