/**
 * @module The cluster that a command of `cilium policy` looks at: manifests of files, or what the agent of
 * this machine has (`GET /v1/policy/export`), compiled by the same compiler.
 */
import { keepsLabel, labelFilter, podIdentityLabels } from '../../daemon/identity/labels.ts';
import { loadDocuments, type ManifestFile } from '../../daemon/policy/documents/manifest.ts';
import { exportedModel, type PolicyExport } from '../../daemon/policy/explain/export.ts';
import type { LintOptions } from '../../daemon/policy/explain/lint.ts';
import {
  entriesUnlimited,
  type ManifestConfig,
  manifestModel,
  type OfflineModel,
  overlay,
  replacedBy,
} from '../../daemon/policy/explain/offline-model.ts';
import type { ParsedPolicy } from '../../daemon/policy/parse/parse.ts';
import { policyName } from '../../daemon/policy/table.ts';
import { type ClusterObject, objectKey, type PodObject } from '../../k8s/object.ts';
import { type Problem, printable } from '../../k8s/problem.ts';
import { localAgent } from '../../sandbox/current.ts';
import { AgentClient } from '../agent-client.ts';
import type { Invocation } from '../command.ts';
import { type Flag, UsageError } from '../flags.ts';
import { printError } from '../terminal.ts';
import { agentFlags, InputError, word } from './options.ts';

/** What files say. */
export interface Documents {
  readonly policies: readonly ParsedPolicy[];
  readonly objects: readonly ClusterObject[];
}

export function manifestConfig(invocation: Invocation): LintOptions {
  const { flags } = invocation;
  const filter = filterOf(flags.strings('labels'));
  const [localNode, hostFirewall] = [flags.string('node'), flags.boolean('enable-host-firewall')];
  if (hostFirewall && localNode === undefined) {
    throw new UsageError('--enable-host-firewall: --node says which node is the host');
  }
  const mode = word(invocation, 'policy-cidr-match-mode', ['nodes']);
  return {
    enablePolicy: word(invocation, 'enable-policy', ['default', 'always', 'never']) ?? 'default',
    allowLocalhost: word(invocation, 'allow-localhost', ['always', 'policy']) !== 'policy',
    cidrMatchesNodes: mode === 'nodes',
    entriesMax: entriesUnlimited,
    cluster: flags.string('cluster-name') ?? 'default',
    localNode,
    hostFirewall,
    identityLabels: (pod) => podIdentityLabels(pod, filter).labels,
    keepsLabel: (label) => keepsLabel(filter, label),
  };
}

function filterOf(patterns: readonly string[]) {
  try {
    return labelFilter(patterns);
  } catch (cause) {
    throw new UsageError(`--labels: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

const standInsMax = 60_000;

/**
 * Reads all files. Of what several files have, as an agent takes its folder: all of the policies, and
 * the first of the objects. Throws `InputError` if any file is refused.
 */
export function readDocuments(paths: readonly string[], cluster: string): Documents {
  const files = loadDocuments(paths, { cluster });
  const lines = files.flatMap(problemLines);
  if (lines.length > 0) throw new InputError(lines);
  const policies: ParsedPolicy[] = [];
  const names = new Set<string>();
  const objects = new Map<string, ClusterObject>();
  for (const { path, result } of files) {
    if (result.kind !== 'parsed') continue;
    for (const policy of result.policies) {
      const key = `${policy.kind} ${policyName(policy)}`;
      if (names.has(key)) {
        const told = `warning: ${key} is in another file, too: both are in force`;
        printError(`${printable(path)}: ${told}`);
      }
      names.add(key);
      policies.push(policy);
    }
    for (const object of result.objects) {
      const key = objectKey(object);
      if (!objects.has(key)) objects.set(key, object);
    }
  }
  if (files.length === 0) {
    throw new InputError(paths.map((path) => `${printable(path)}: has no *.yaml, *.yml or *.json`));
  }
  return { policies, objects: withAddresses([...objects.values()]) };
}

/** Addresses of the ranges for benchmarks (RFC 2544, RFC 5180), which no cluster has. */
function standIn(index: number): string[] {
  const [high, low] = [index >> 8, index & 255];
  return [`198.19.${high & 255}.${low}`, `2001:2::${index.toString(16)}`];
}

/** Pods as they stand in a repository have no address: they get one, so that they can be judged. */
function withAddresses(objects: readonly ClusterObject[]): ClusterObject[] {
  const without = objects.filter(
    (one): one is PodObject =>
      one.kind === 'Pod' && !one.ended && !one.hostNetwork && one.addresses.length === 0,
  );
  if (without.length === 0) return [...objects];
  const withoutAddress = `${without.length} ${without.length === 1 ? 'pod has' : 'pods have'} no status.podIP`;
  if (without.length > standInsMax) {
    throw new InputError([`${withoutAddress}, at most ${standInsMax}`]);
  }
  const names = without.map(objectKey).sort();
  printError(`${withoutAddress}: judged at addresses of 198.19.0.0/16 and 2001:2::/48`);
  const made = new Map(names.map((name, index) => [name, standIn(index + 1)]));
  return objects.map((one) => {
    const addresses = made.get(objectKey(one));
    return one.kind === 'Pod' && addresses !== undefined ? { ...one, addresses } : one;
  });
}

/** What is wrong with a file, a line each: `FILE:line: field: message`. */
export function problemLines({ path, result }: ManifestFile): string[] {
  const file = printable(path);
  if (result.kind === 'unreadable') return [`${file}: ${printable(result.reason)}`];
  if (result.kind === 'parsed') return [];
  return result.problems.map((problem) => problemLine(file, problem));
}

function problemLine(file: string, { line, path, message }: Problem): string {
  return `${file}${line === undefined ? '' : `:${line}`}: ${path}: ${message}`;
}

/** The cluster of `-f`, or of the agent. */
export async function loadModel(invocation: Invocation): Promise<OfflineModel> {
  const paths = invocation.flags.strings('file');
  return paths.length === 0 ? await agentModel(invocation) : fileModel(invocation, paths);
}

export function fileModel(invocation: Invocation, paths: readonly string[]): OfflineModel {
  const config = manifestConfig(invocation);
  return documentModel(readDocuments(paths, config.cluster), config);
}

/** Throws `UsageError` if the node that is the host is in no document. */
export function documentModel(
  { policies, objects }: Documents,
  config: ManifestConfig,
): OfflineModel {
  const { localNode } = config;
  const nodes = new Set(
    objects.flatMap((one) => {
      if (one.kind === 'Node') return [one.name];
      return one.kind === 'Pod' && one.nodeName !== undefined ? [one.nodeName] : [];
    }),
  );
  if (localNode !== undefined && !nodes.has(localNode)) {
    const names = [...nodes].sort();
    const shown = names.slice(0, nodesShown).join(', ');
    const more = names.length > nodesShown ? ` and ${names.length - nodesShown} more` : '';
    const known = names.length === 0 ? 'no document names a node' : `there are ${shown}${more}`;
    throw new UsageError(`--node ${JSON.stringify(localNode)}: ${known}`);
  }
  return manifestModel(policies, objects, config);
}

const nodesShown = 10;

const exportTimeoutMs = 60_000;

function isSet({ flags }: Invocation, name: string, kind: Flag['kind']): boolean {
  if (kind === 'boolean') return flags.boolean(name);
  return kind === 'strings' ? flags.strings(name).length > 0 : flags.string(name) !== undefined;
}

/** Policies in place of those of the same kind and name, which is said; everything else stays. */
export function tried(model: OfflineModel, { policies, objects }: Documents): OfflineModel {
  const replaced = replacedBy(model, policies);
  const shown = replaced.slice(0, replacedShown).join(', ');
  const more =
    replaced.length > replacedShown ? ` and ${replaced.length - replacedShown} more` : '';
  if (replaced.length > 0) {
    printError(
      `in place of what has the same name (as a second file it would be in force beside it): ${shown}${more}`,
    );
  }
  return overlay(model, policies, objects);
}

const replacedShown = 5;

/** Throws `AgentDownError`, `AgentStatusError`. */
export async function agentModel(invocation: Invocation): Promise<OfflineModel> {
  const { flags } = invocation;
  for (const { name, kind } of agentFlags) {
    if (!isSet(invocation, name, kind)) continue;
    throw new UsageError(`--${name} is for files; an agent answers as it is configured`);
  }
  const { socketPath } = localAgent(flags.string('host'));
  const client = new AgentClient(socketPath);
  const found = await client.get<PolicyExport>('/policy/export', {
    answer: 'getPolicyExport',
    timeoutMs: exportTimeoutMs,
  });
  if (found.problem !== undefined) printError(`warning: ${printable(found.problem)}`);
  return exportedModel(found);
}
