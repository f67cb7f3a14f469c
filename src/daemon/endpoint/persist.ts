/**
 * @module Endpoints on disk: `<state-dir>/state/<id>/ep_config.json`, so that an agent that starts
 * finds the pods that are there. Input: rows of table `endpoints`; output at start: the same rows in
 * state `restoring`. What cannot be read is set aside as `<id>.corrupt` and reported.
 */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Table } from '../../kv/table.ts';
import { type IdentityId, identityId, isSystemLabel, parseLabel } from '../identity/table.ts';
import { isRefusal } from '../ipam/table.ts';
import { formatPorts, parsePorts } from '../ports.ts';
import { isObject, parseEndpointRequest } from './request.ts';
import {
  attachmentKey,
  type EndpointId,
  type EndpointLogEntry,
  type EndpointRow,
  endpointId,
} from './table.ts';

const fileName = 'ep_config.json';
/** Raised when a field changes its meaning; files of another version are set aside. */
const formatVersion = 1;
/** Far more than the largest endpoint that REST accepts. */
const fileBytesMax = 1024 * 1024;
const policyIdMax = 0xffff;
/** A disk that refuses is asked again after this. */
const retryMs = 1000;

/** A state directory that was set aside. */
export interface CorruptEndpoint {
  /** Where it is now. */
  readonly path: string;
  readonly reason: string;
}

export interface RestoredEndpoints {
  readonly rows: readonly EndpointRow[];
  readonly corrupt: readonly CorruptEndpoint[];
  /**
   * Interfaces that set aside directories name, of this start or an earlier one: they may have a pod.
   * `all` if one of them does not even say which.
   */
  readonly spared: ReadonlySet<string> | 'all';
}

/** The endpoints' directories below one state directory. */
export class EndpointStore {
  readonly #directory: string;
  readonly #written = new Map<EndpointId, string>();
  #corrupt: readonly CorruptEndpoint[] = [];

  constructor(stateDirectory: string) {
    this.#directory = join(stateDirectory, 'state');
    mkdirSync(this.#directory, { recursive: true, mode: 0o750 });
  }

  /** What `restore` set aside, for the status. */
  get corrupt(): readonly CorruptEndpoint[] {
    return this.#corrupt;
  }

  /**
   * Writes a row unless the disk already says the same. A reader sees the old file or the new one.
   * It is not flushed to the medium: after a crash of the machine the pods are gone too.
   */
  save(row: EndpointRow): void {
    const text = encode(row);
    if (this.#written.get(row.id) === text) return;
    const directory = join(this.#directory, String(row.id));
    const file = join(directory, fileName);
    mkdirSync(directory, { recursive: true, mode: 0o750 });
    writeFileSync(`${file}.tmp`, text, { mode: 0o640 });
    renameSync(`${file}.tmp`, file);
    this.#written.set(row.id, text);
  }

  /** Removes an endpoint's directory. Absent is success. */
  remove(id: EndpointId): void {
    this.#written.delete(id);
    rmSync(join(this.#directory, String(id)), { recursive: true, force: true });
  }

  /**
   * Keeps the files in step with the table until disposed: identities and labels change later. A
   * disk that refuses is asked again; `onError` hears of it once, `onTrouble` also of its end.
   */
  follow(
    table: Table<EndpointRow, EndpointId>,
    onError: (error: unknown) => void,
    onTrouble: (message: string | undefined) => void = () => {},
  ): Disposable {
    const reader = table.reader('endpoint store');
    const behind = new Set<EndpointId>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const carry = () => {
      for (const { row } of reader.next()) if (row !== undefined) behind.add(row.id);
      const wasFailing = timer !== undefined;
      clearTimeout(timer);
      timer = undefined;
      const failure = this.#carry(table, behind);
      if (failure === undefined) {
        if (wasFailing) onTrouble(undefined);
        return;
      }
      timer = setTimeout(carry, retryMs);
      timer.unref();
      if (!wasFailing) onError(failure.error);
      onTrouble(`write the state of ${behind.size} endpoints: ${String(failure.error)}`);
    };
    const subscription = table.subscribe(carry);
    return {
      [Symbol.dispose]() {
        clearTimeout(timer);
        subscription[Symbol.dispose]();
        reader.close();
      },
    };
  }

  /** Saves the rows and takes out those that are saved. */
  #carry(
    table: Table<EndpointRow, EndpointId>,
    behind: Set<EndpointId>,
  ): { readonly error: unknown } | undefined {
    let failure: { readonly error: unknown } | undefined;
    for (const id of behind) {
      const row = table.get(id);
      try {
        // Rows that no request has created, such as the host's, are not ours to keep.
        if (row !== undefined && this.#written.has(id)) this.save(row);
        behind.delete(id);
      } catch (error) {
        failure ??= { error };
      }
    }
    return failure;
  }

  /**
   * Reads every endpoint. `linkExists` answers whether the host side of the pod's interface is
   * still there, under the same index and name: without it the pod is gone and so is its directory.
   */
  restore(linkExists: (row: EndpointRow) => boolean, now = new Date()): RestoredEndpoints {
    const rows: EndpointRow[] = [];
    const corrupt: CorruptEndpoint[] = [];
    const taken = new Set<string>();
    const names = readdirSync(this.#directory).filter((name) => /^[1-9][0-9]{0,4}$/.test(name));
    for (const name of names.sort((a, b) => Number(a) - Number(b))) {
      const row = this.#read(name, now);
      if (row === undefined) {
        // Killed between making the directory and naming the file: nothing was ever reported ready.
        rmSync(join(this.#directory, name), { recursive: true, force: true });
        continue;
      }
      const clash = typeof row === 'string' ? row : claimsTwice(row, taken);
      if (typeof row === 'string' || clash !== undefined) {
        corrupt.push(this.#setAside(name, clash ?? ''));
      } else if (linkExists(row)) {
        for (const claim of claimsOf(row)) taken.add(claim);
        rows.push(row);
        this.#written.set(row.id, encode(row));
      } else {
        this.remove(row.id);
      }
    }
    this.#corrupt = corrupt;
    return { rows, corrupt, spared: this.#spared() };
  }

  #spared(): ReadonlySet<string> | 'all' {
    const names = new Set<string>();
    const aside = readdirSync(this.#directory)
      .filter((name) => /^[1-9][0-9]*\.corrupt$/.test(name))
      .map((name) => join(this.#directory, name));
    // One that could not even be renamed is still where it was.
    for (const path of new Set([...aside, ...this.#corrupt.map((one) => one.path)])) {
      const link = interfaceNamed(join(path, fileName));
      if (link === undefined) return 'all';
      names.add(link);
    }
    return names;
  }

  /** The row in a directory, what is wrong with it, or `undefined` if the file was never finished. */
  #read(name: string, now: Date): EndpointRow | string | undefined {
    try {
      const file = join(this.#directory, name, fileName);
      const stat = lstatSync(file, { throwIfNoEntry: false });
      if (stat === undefined) return undefined;
      // A pipe or a device here would block the agent's start or never end.
      if (!stat.isFile()) return 'not a regular file';
      if (stat.size > fileBytesMax) return `${stat.size} bytes are more than ${fileBytesMax}`;
      return decode(readFileSync(file, 'utf8'), name, now);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #setAside(name: string, reason: string): CorruptEndpoint {
    const from = join(this.#directory, name);
    const path = `${from}.corrupt`;
    try {
      rmSync(path, { recursive: true, force: true });
      renameSync(from, path);
      return { path, reason };
    } catch (error) {
      // The directory stays where it is and is reported again at the next start.
      return { path: from, reason: `${reason} (set aside: ${String(error)})` };
    }
  }
}

/** The interface in a file that is no endpoint, maybe not even JSON; undefined if there is none. */
function interfaceNamed(file: string): string | undefined {
  try {
    const stat = lstatSync(file);
    if (!stat.isFile() || stat.size > fileBytesMax) return undefined;
    return /"interface-name"\s*:\s*"([\w.-]{1,15})"/.exec(readFileSync(file, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** What no two endpoints may share. */
function claimsOf(row: EndpointRow): readonly string[] {
  return [
    `attachment ${attachmentKey(row.containerId, row.containerInterfaceName)}`,
    `interface ${row.ifindex}`,
    ...(row.ipv4 === undefined ? [] : [`address ${row.ipv4}`]),
    ...(row.ipv6 === undefined ? [] : [`address ${row.ipv6}`]),
  ];
}

function claimsTwice(row: EndpointRow, taken: ReadonlySet<string>): string | undefined {
  const claim = claimsOf(row).find((one) => taken.has(one));
  return claim === undefined ? undefined : `${claim} belongs to another endpoint as well`;
}

/** The file's content: REST's words for what the request said, ours for what became of it. */
function encode(row: EndpointRow): string {
  return JSON.stringify({
    version: formatVersion,
    id: row.id,
    'container-id': row.containerId,
    'container-interface-name': row.containerInterfaceName,
    'container-netns-path': row.netnsPath,
    'k8s-pod-name': row.podName,
    'k8s-namespace': row.namespace,
    'k8s-uid': row.podUid,
    labels: row.labels,
    'own-labels': row.ownLabels,
    'named-ports': row.ports,
    'policy-audit-mode': row.audit,
    'interface-name': row.interfaceName,
    'interface-index': row.ifindex,
    mac: row.mac,
    'host-mac': row.hostMac,
    addressing: { ipv4: row.ipv4, ipv6: row.ipv6 },
    identity: row.identity,
    'policy-id': row.policyId,
    'created-at': row.createdAt,
  });
}

/** Reads a file that anybody may have written. Returns what is wrong if it is not an endpoint. */
function decode(text: string, name: string, now: Date): EndpointRow | string {
  const fields: unknown = JSON.parse(text);
  if (!isObject(fields)) return 'not an object';
  if (fields['version'] !== formatVersion) return `version ${String(fields['version'])} is unknown`;
  const request = parseEndpointRequest(fields);
  if (isRefusal(request)) return request.message;
  if (String(request.id) !== name) return `id ${request.id} does not belong here`;
  const identity = integer(fields['identity'], 0xffffffff);
  const policyId = integer(fields['policy-id'], policyIdMax);
  if (identity === undefined) return 'identity: has to be a number';
  if (policyId === undefined) return 'policy-id: has to be a number';
  const ports = fields['named-ports'] ?? '';
  if (typeof ports !== 'string') return 'named-ports: has to be a text';
  const labels = [...new Set(request.labels)].sort();
  const ownLabels = ownLabelsOf(fields['own-labels'], labels);
  if (ownLabels === undefined) return 'own-labels: has to be an object of texts';
  const createdAt = fields['created-at'];
  if (typeof createdAt !== 'string' || Number.isNaN(Date.parse(createdAt))) {
    return 'created-at: has to be a time';
  }
  const log: EndpointLogEntry = {
    timestamp: now.toISOString(),
    code: 'OK',
    message: 'Restoring endpoint from previous cilium instance',
    state: 'restoring',
  };
  return {
    id: endpointId(request.id),
    containerId: request.containerId,
    containerInterfaceName: request.containerInterfaceName,
    netnsPath: request.netnsPath,
    podName: request.podName,
    namespace: request.namespace,
    podUid: request.podUid,
    labels,
    ownLabels,
    ports: formatPorts(parsePorts(ports)),
    audit: fields['policy-audit-mode'] === true,
    identity: identityOf(identity),
    policyId,
    ifindex: request.ifindex,
    interfaceName: request.interfaceName,
    mac: request.mac,
    hostMac: request.hostMac,
    ipv4: request.ipv4,
    ipv6: request.ipv6,
    state: 'restoring',
    policyRevision: 0,
    ingressEnforced: false,
    egressEnforced: false,
    createdAt,
    status: { kind: 'pending' },
    log: [log],
  };
}

/** A file of an earlier version has identity labels only; those of the system are no pod's own. */
function ownLabelsOf(
  value: unknown,
  labels: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const own: Record<string, string> = Object.create(null);
  if (value === undefined) {
    for (const { source, key, value: text } of labels.map(parseLabel)) {
      if (source === 'k8s' && !isSystemLabel(key)) own[key] = text;
    }
    return own;
  }
  if (!isObject(value)) return undefined;
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') return undefined;
    own[key] = text;
  }
  return own;
}

function integer(value: unknown, max: number): number | undefined {
  const isValid =
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
  return isValid ? value : undefined;
}

function identityOf(value: number): IdentityId | 0 {
  return value === 0 ? 0 : identityId(value);
}
