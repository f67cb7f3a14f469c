/**
 * @module What the REST API needs of the agent. The agent's wiring fills it in; no file of this
 * folder reaches further.
 */
import type { Key, TableView } from '../../kv/table.ts';
import type { EndpointReflector } from '../endpoint/reflector.ts';
import type { EndpointId, EndpointRow } from '../endpoint/table.ts';
import type { IdentityId, IdentityRow } from '../identity/table.ts';
import type { IpamAllocator } from '../ipam/allocator.ts';
import type { Refusal } from '../ipam/table.ts';
import type { IpcacheRow } from '../ipcache/table.ts';

/** What clients may know of the agent's configuration; fixed while it runs. */
export interface RestSettings {
  /** `<version> (<revision>)`, as in `cilium.msg` of the status. */
  readonly version: string;
  readonly nodeName: string;
  readonly nodeIpv4: string | undefined;
  readonly nodeIpv6: string | undefined;
  readonly deviceMtu: number;
  readonly routeMtu: number;
  readonly masqueradeIpv4: boolean;
  readonly masqueradeIpv6: boolean;
  readonly policyEnforcement: 'default' | 'always' | 'never';
  /** Every option by its own name, for `daemonConfigurationMap`. */
  readonly options: Readonly<Record<string, unknown>>;
  /** `enable-cilium-api-server-access`: operation names, `*` at the end of one stands for the rest. */
  readonly apiAccess: readonly string[];
}

/** One entry of a BPF map as text. */
export interface MapEntryText {
  readonly key: string;
  readonly value: string;
}

/** The pinned maps by name. */
export interface MapReader {
  readonly names: readonly string[];
  /** Where the map is pinned. */
  path(name: string): string;
  /** How many entries it has; counting stops at some point. 0 if there is no such map. */
  count(name: string): number;
  /** The entries, at most `limit`; `undefined` if there is no such map. */
  entries(name: string, limit: number): readonly MapEntryText[] | undefined;
}

/** REST's SelectorIdentityMapping. */
export interface SelectorModel {
  readonly selector: string;
  readonly identities: readonly number[];
  readonly users: number;
  readonly labels: readonly {
    readonly key: string;
    readonly source: string;
    readonly value: string;
  }[];
}

/** A table with its history's figures. */
export interface ShownTable extends TableView<object, Key> {
  readonly revision: number;
  /** Deleted rows that a reader has not seen yet. */
  readonly deletedHeld: number;
}

/** Everything that handlers read and the few things that they change. */
export interface RestContext {
  readonly settings: RestSettings;
  readonly endpoints: TableView<EndpointRow, EndpointId>;
  readonly identities: TableView<IdentityRow, IdentityId>;
  readonly ipcache: TableView<IpcacheRow>;
  readonly reflector: EndpointReflector;
  readonly ipam: IpamAllocator;
  readonly maps: MapReader;
  /** Every table of the agent by name, for `cilium dbg db show`. */
  readonly tables: ReadonlyMap<string, ShownTable>;
  /** REST's StatusResponse in full. */
  readonly status: () => StatusModel;
  /** The runtime options, `Enabled` or `Disabled` or a level, by upstream's names. */
  readonly runtimeOptions: () => Readonly<Record<string, string>>;
  /** Changes runtime options: all of them, or none and a refusal. Names and forms are checked. */
  readonly setRuntimeOptions: (options: Readonly<Record<string, string>>) => Refusal | undefined;
  /** The rules in force as JSON text (pretty, a list), optionally those with all of the labels. */
  readonly policy: (labels: readonly string[]) => PolicyModel;
  readonly selectors: () => readonly SelectorModel[];
  /** All that policy is judged by, for `cilium policy`. */
  readonly policyExport: () => object;
  /** The policy of an identity, in REST's EndpointPolicy; undefined while it has none. */
  readonly endpointPolicy: (row: EndpointRow, revision: number) => object | undefined;
}

export interface PolicyModel {
  readonly revision: number;
  readonly rules: readonly object[];
}

/** The parts of the StatusResponse that the brief form has; the rest goes through as it is. */
export interface StatusModel {
  readonly cilium: { readonly state: string; readonly msg: string };
  readonly [part: string]: unknown;
}
