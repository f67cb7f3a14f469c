/**
 * @module
 * What REST's handlers see of the agent, gathered from its parts. Runtime options change the event
 * switches of the running programs.
 */

import type { Datapath } from './datapath.ts';
import type { EndpointReflector } from './endpoint/reflector.ts';
import type { IpamAllocator } from './ipam/allocator.ts';
import type { PolicyCompiler } from './policy/compile/compiler.ts';
import { describeFiles } from './policy/documents/stand-in.ts';
import { policyExport } from './policy/explain/export.ts';
import { endpointPolicyModel, policyModel, selectorsModel } from './policy/repository.ts';
import { policySubject } from './policy/table.ts';
import type { MapReader, PolicyModel, RestContext, StatusModel } from './rest/context.ts';
import type { AgentConfig } from './runtime/config.ts';
import { daemonConfigurationMap } from './runtime/config-map.ts';
import { type RuntimeOptions, writeRuntimeOptions } from './runtime-options.ts';
import { type AgentTables, tablesByName } from './tables.ts';

export interface RestSources {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  readonly datapath: Datapath;
  readonly reflector: EndpointReflector;
  readonly ipam: IpamAllocator;
  readonly maps: MapReader;
  readonly compiler: PolicyCompiler;
  readonly policyRevision: () => number;
  /** Running connections are judged again. */
  readonly judgeAgain: () => void;
  readonly version: string;
  readonly mtu: number;
  readonly status: () => StatusModel;
}

export function restContext(sources: RestSources): RestContext {
  const { config, tables, compiler } = sources;
  let options: RuntimeOptions = {
    drop: config.bpfEventsDropEnabled,
    trace: config.bpfEventsTraceEnabled,
    verdict: config.bpfEventsPolicyVerdictEnabled,
    audit: config.policyAuditMode,
  };
  const nodeAddress = (family: 4 | 6) =>
    [...tables.devices.all()]
      .map((row) => (family === 4 ? row.ipv4 : row.ipv6))
      .find((ip) => ip !== undefined);
  return {
    settings: {
      version: sources.version,
      nodeName: config.nodeName,
      nodeIpv4: nodeAddress(4),
      nodeIpv6: nodeAddress(6),
      deviceMtu: sources.mtu,
      routeMtu: sources.mtu,
      masqueradeIpv4: config.enableIpv4Masquerade,
      masqueradeIpv6: config.enableIpv6Masquerade,
      policyEnforcement: config.enablePolicy,
      options: daemonConfigurationMap(config),
      apiAccess: config.enableCiliumApiServerAccess,
    },
    endpoints: tables.endpoints,
    identities: tables.identities,
    ipcache: tables.ipcache,
    reflector: sources.reflector,
    ipam: sources.ipam,
    maps: sources.maps,
    tables: tablesByName(tables),
    status: sources.status,
    runtimeOptions: () => printOptions(options),
    setRuntimeOptions(wanted) {
      const next = writeRuntimeOptions(options, wanted);
      if ('refused' in next) return next;
      options = next;
      sources.datapath.runtime.events = next;
      sources.datapath.runtime.policyAudit = next.audit;
      sources.judgeAgain();
      return undefined;
    },
    policy: (labels) => policyOf(sources, labels),
    selectors: () => selectorsModel(compiler),
    policyExport: () =>
      policyExport({
        cluster: config.clusterName,
        nodeName: config.nodeName,
        hostFirewall: config.enableHostFirewall,
        revision: sources.policyRevision(),
        config: compiler.config,
        audit: options.audit,
        rules: tables.policyRules.all(),
        objects: tables.clusterObjects.all(),
        identities: tables.identities.all(),
        endpoints: tables.endpoints.all(),
        ipcache: tables.ipcache.all(),
        problem: describeFiles(tables.policyFiles, tables.policyRules),
        hostSources: ([4, 6] as const).flatMap((family) => {
          const router = sources.ipam.router(family);
          return router === undefined ? [] : [router];
        }),
      }),
    endpointPolicy: (row, revision) =>
      row.identity === 0
        ? undefined
        : endpointPolicyModel(compiler, policySubject(row.identity, row.ports), revision),
  };
}

function policyOf({ tables, policyRevision }: RestSources, labels: readonly string[]): PolicyModel {
  const model = policyModel(tables.policyRules.all(), policyRevision(), labels);
  if (model === undefined) return { revision: policyRevision(), rules: [] };
  const rules: unknown = JSON.parse(model.policy);
  return { revision: model.revision, rules: Array.isArray(rules) ? rules : [] };
}

function printOptions(options: RuntimeOptions): Readonly<Record<string, string>> {
  const text = (on: boolean) => (on ? 'Enabled' : 'Disabled');
  return {
    ConntrackAccounting: 'Disabled',
    Debug: 'Disabled',
    DebugLB: 'Disabled',
    DropNotification: text(options.drop),
    MonitorAggregationLevel: 'Medium',
    PolicyAccounting: 'Disabled',
    PolicyAuditMode: text(options.audit),
    PolicyTracing: 'Disabled',
    PolicyVerdictNotification: text(options.verdict),
    SourceIPVerification: 'Enabled',
    TraceNotification: text(options.trace),
  };
}
