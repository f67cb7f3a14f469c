/**
 * @module
 * The rule that stands for a policy file that was there when the agent started and of which nothing
 * good is known: it selects every endpoint and allows nothing, under the file's name. Who wrote the
 * file may rely on it, so that it is closed until the file is mended or deleted, and seen to be.
 */

import { printable } from '../../../k8s/problem.ts';
import type { Table } from '../../../kv/table.ts';
import { selectorOf } from '../selector.ts';
import { type PolicyFileRow, type PolicyRuleRow, policyName } from '../table.ts';

const twinsMax = 3;
const doubtfulMax = 3;
const label = 'reserved:io.cilium.policy.derived-from=unreadable-policy-file';

/** The stand-in for a file, in force from the revision on. */
export function standInRow(file: string, revision: number): PolicyRuleRow {
  return {
    key: `${file}|unreadable`,
    kind: 'CiliumNetworkPolicy',
    namespace: '',
    name: file,
    ruleIndex: 0,
    rule: {
      tier: 'network',
      priority: 0,
      subjectKind: 'endpoint',
      subject: selectorOf({}),
      description: 'stands for a file that cannot be read, until it can',
      labels: [],
      defaultDeny: { ingress: true, egress: true },
      ingress: [],
      egress: [],
    },
    origin: file,
    labels: [label],
    revision,
  };
}

export function isStandIn(row: PolicyRuleRow): boolean {
  return row.labels.includes(label);
}

/** True if a stand-in is what is in force of the file. */
export function isClosedBy(rules: Table<PolicyRuleRow>, file: string): boolean {
  return rules.by('origin', file).some(isStandIn);
}

/** The name of a folder's row in table `policy-files`; no file has one like it. */
export function folderRowName(folder: string): string {
  return `${folder}/`;
}

export function isFolderRow(name: string): boolean {
  return name.endsWith('/');
}

/** What is wrong with the policy files, the gravest alone; undefined if all are in force. For health. */
export function describeFiles(
  files: Table<PolicyFileRow>,
  rules: Table<PolicyRuleRow>,
): string | undefined {
  const wrong = [...files.all()].filter((row) => row.status.kind === 'error');
  const refused = wrong.filter((row) => !isFolderRow(row.name));
  const names = (rows: readonly PolicyFileRow[]) =>
    rows
      .map((row) => printable(row.name))
      .sort()
      .join(', ');
  const closing = refused.filter((row) => isClosedBy(rules, row.name));
  if (closing.length > 0) {
    return `all pods are closed until these policy files are mended or deleted: ${names(closing)}`;
  }
  const without = refused.filter((row) => row.revision === 0);
  if (without.length > 0) return `refused, and nothing of it is in force: ${names(without)}`;
  if (refused.length > 0) {
    return `refused, their last good content is in force: ${names(refused)}`;
  }
  if (wrong.length > 0) return `files in these folders are not read: ${names(wrong)}`;
  const doubtful = [...files.all()].filter(({ warnings = [] }) => warnings.length > 0);
  if (doubtful.length === 0) return undefined;
  const texts = doubtful.map(({ name, warnings }) => `${printable(name)}: ${warnings?.join('; ')}`);
  return `in force, and hardly meant so: ${texts.sort().slice(0, doubtfulMax).join(' | ')}`;
}

/** Policies of which more than one file has one with the same name: all of them are in force. */
export function describeTwins(rules: Table<PolicyRuleRow>): string | undefined {
  const origins = new Map<string, Set<string>>();
  for (const row of rules.all()) {
    const name = `${row.kind} ${policyName(row)}`;
    const known = origins.get(name);
    if (known === undefined) origins.set(name, new Set([row.origin]));
    else known.add(row.origin);
  }
  const twins = [...origins].filter(([, files]) => files.size > 1);
  if (twins.length === 0) return undefined;
  const texts = twins
    .slice(0, twinsMax)
    .map(([name, files]) => printable(`${name} in ${[...files].sort().join(' and ')}`));
  const more = twins.length > twinsMax ? `, and ${twins.length - twinsMax} more` : '';
  return `in several files, and all of these are in force: ${texts.join(', ')}${more}`;
}

/** Policies for nodes, which only a host firewall carries out. */
export function describeNodeRules(rules: Table<PolicyRuleRow>): string | undefined {
  const all = [...rules.all()].filter(({ rule }) => rule.subjectKind === 'node');
  if (all.length === 0) return undefined;
  const names = [...new Set(all.map((row) => printable(policyName(row))))].sort();
  return `policies for nodes are not carried out without enable-host-firewall: ${names.join(', ')}`;
}
