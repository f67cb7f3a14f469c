/**
 * @module Where everything of a sandbox is. All of it is below one run directory (state, sockets, a
 * bpffs of its own, namespaces as bind mounts) and one cgroup, so that removing those two removes it.
 */
import { existsSync, readFileSync } from 'node:fs';

/** The folder that holds the run directories, and the file that names the running sandbox. */
export const runRoot = '/run/cilium';
export const sandboxName = 'demo';

/** Paths of one sandbox. */
export interface SandboxPaths {
  readonly name: string;
  readonly directory: string;
  readonly snapshotFile: string;
  readonly recordFile: string;
  readonly bpfRoot: string;
  readonly netnsFolder: string;
  readonly stateDirectory: string;
  readonly logFolder: string;
  readonly policyFolder: string;
  readonly agentSocket: string;
  readonly hubbleSocket: string;
  readonly cgroup: string;
}

export function sandboxPaths(name = sandboxName, mountinfo = readMountinfo()): SandboxPaths {
  const directory = `${runRoot}/${name}`;
  return {
    name,
    directory,
    snapshotFile: `${directory}/snapshot.json`,
    recordFile: `${directory}/sandbox.json`,
    bpfRoot: `${directory}/bpf`,
    netnsFolder: `${directory}/netns`,
    stateDirectory: `${directory}/state`,
    logFolder: `${directory}/log`,
    policyFolder: `${directory}/policies`,
    agentSocket: `${directory}/cilium.sock`,
    hubbleSocket: `${directory}/hubble.sock`,
    cgroup: `${cgroup2Root(mountinfo)}/cilium-${name}`,
  };
}

export function readMountinfo(): string {
  return readFileSync('/proc/self/mountinfo', 'utf8');
}

/** One mounted file system. */
export interface Mount {
  readonly point: string;
  readonly type: string;
  /** What of the file system is mounted there, e.g. `net:[4026531840]` for a namespace. */
  readonly root: string;
}

/** Mounts in the order in which they were made. proc(5) describes the columns. */
export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const match = /^\d+ \d+ \S+ (\S+) (\S+) .*? - (\S+) /.exec(line);
    if (match === null) return [];
    return [{ root: unescaped(match[1]), point: unescaped(match[2]), type: match[3] ?? '' }];
  });
}

/** Blanks and backslashes are octal in there. */
function unescaped(text = ''): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Where the unified hierarchy is mounted: on a hybrid layout it is not /sys/fs/cgroup itself. */
export function cgroup2Root(mountinfo: string): string {
  const mounts = parseMounts(mountinfo).filter((mount) => mount.type === 'cgroup2');
  const found = mounts.find((mount) => mount.root === '/') ?? mounts[0];
  if (found === undefined || !existsSync(found.point)) {
    throw new Error('no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup');
  }
  return found.point;
}
