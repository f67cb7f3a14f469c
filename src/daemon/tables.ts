/**
 * @module
 * Every table of the agent, made in one place: who knows these names knows where to look. Each is
 * described in the table.ts of its feature.
 */
import type { Key, Table } from '../kv/table.ts';
import { clusterObjects, remotePods } from './cluster/table.ts';
import { endpoints } from './endpoint/table.ts';
import { identities } from './identity/table.ts';
import { addresses } from './ipam/table.ts';
import { ipcache } from './ipcache/table.ts';
import { devices, nodeAddresses } from './node/table.ts';
import {
  addressSets,
  policies,
  policyCookies,
  policyFiles,
  policyPeers,
  policyRules,
} from './policy/table.ts';
import { healthTable } from './runtime/health.ts';
import { jobTable } from './runtime/jobs.ts';

export type AgentTables = ReturnType<typeof agentTables>;

export function agentTables() {
  return {
    endpoints: endpoints(),
    identities: identities(),
    ipcache: ipcache(),
    policyFiles: policyFiles(),
    policyRules: policyRules(),
    clusterObjects: clusterObjects(),
    remotePods: remotePods(),
    policies: policies(),
    policyPeers: policyPeers(),
    addressSets: addressSets(),
    cookies: policyCookies(),
    addresses: addresses(),
    devices: devices(),
    nodeAddresses: nodeAddresses(),
    health: healthTable(),
    jobs: jobTable(),
  };
}

/** By the name that each prints under, for `cilium dbg db`. */
export function tablesByName(tables: AgentTables): ReadonlyMap<string, Table<object, Key>> {
  // A reader of columns and rows need not know which row it is.
  const all = Object.values(tables) as unknown as Table<object, Key>[];
  return new Map(all.map((table) => [table.name, table]));
}
