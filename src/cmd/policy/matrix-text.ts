/**
 * @module The matrix for people: a grid for one port, else a list of pairs.
 */
import type { OfflineCluster } from '../../daemon/policy/explain/offline.ts';
import { ruleNames, rulesText } from '../../daemon/policy/explain/rule-name.ts';
import { printable } from '../../k8s/problem.ts';
import { printOut } from '../terminal.ts';
import { formatL4, type WrittenPort } from './ends.ts';
import { cellsOf, type Party } from './parties.ts';
import { RowWriter } from './rows.ts';

/** `.` allowed, `X` denied, `a` denied and let through by audit, `/` the families differ, `-` the same pod, blank: nothing to judge. */
export function matrixGrid(
  cluster: OfflineCluster,
  parties: readonly Party[],
  ports: readonly WrittenPort[],
): void {
  const width = String(parties.length).length;
  const nameWidth = Math.max(4, ...parties.map((party) => party.name.length)) + width + 2;
  const numbers = parties.map((_, index) => String(index + 1).padStart(width)).join(' ');
  const audited = cluster.model.audited.size === 0 ? '' : ' a audited: would be denied,';
  printOut(
    `. allowed, X denied,${audited} / IPv4 and IPv6 differ, - itself; rows from, columns to\n${' '.repeat(nameWidth)}${numbers}\n`,
  );
  using writer = new RowWriter(false);
  for (const [index, from] of parties.entries()) {
    const cells = parties.map((to) => mark(cluster, from, to, ports).padStart(width)).join(' ');
    const title = `${String(index + 1).padStart(width)} ${printable(from.name)}`.padEnd(nameWidth);
    writer.row(`${title}${cells}`.trimEnd());
  }
}

function mark(
  cluster: OfflineCluster,
  from: Party,
  to: Party,
  ports: readonly WrittenPort[],
): string {
  if (from === to && from.isJudged) return '-';
  const marks = new Set<string>();
  for (const { verdict } of cellsOf(cluster, from, to, ports)) {
    marks.add(verdict.allowed ? '.' : verdict.audit ? 'a' : 'X');
  }
  const [first = ' '] = marks;
  return marks.size > 1 ? '/' : first;
}

/** A line a pair and port, with what denied it. */
export function matrixList(
  cluster: OfflineCluster,
  parties: readonly Party[],
  ports: readonly WrittenPort[],
): void {
  using writer = new RowWriter(false);
  const width = Math.max(4, ...parties.map((party) => party.name.length)) + 2;
  writer.row(`${'FROM'.padEnd(width)}${'TO'.padEnd(width)}${'PORT'.padEnd(14)}VERDICT`);
  for (const from of parties) {
    for (const to of parties) {
      for (const { l4, family, verdict } of cellsOf(cluster, from, to, ports)) {
        const { allowed, audit, egress, ingress } = verdict;
        const why = rulesText([
          ...(egress?.allowed === false ? ruleNames(egress, 'egress') : []),
          ...(ingress?.allowed === false ? ruleNames(ingress, 'ingress') : []),
        ]);
        const names = `${printable(from.name).padEnd(width)}${printable(to.name).padEnd(width)}`;
        const shown = `${formatL4(l4)}${family === undefined ? '' : ` v${family}`}`.padEnd(14);
        const denied = `${audit ? 'audited: would be ' : ''}denied by ${why}`;
        writer.row(`${names}${shown}${allowed ? 'allowed' : denied}`);
      }
    }
  }
}
