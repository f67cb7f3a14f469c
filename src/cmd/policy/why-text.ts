/**
 * @module The answer of `cilium policy why` for people.
 */
import { rulesText } from '../../daemon/policy/explain/rule-name.ts';
import { printable } from '../../k8s/problem.ts';
import { yamlDocument } from './document-text.ts';
import type { Answer, SideAnswer } from './why.ts';

type Side = 'egress' | 'ingress';

/** Families that agree are told once. With documents it is YAML: the rest of it are comments. */
export function whyText(answers: readonly Answer[], withDocument: boolean): string {
  const bodies = answers.map((answer) => body(answer, withDocument));
  const [first] = bodies;
  const [likeness, ...others] = answers.map(likenessOf);
  if (first !== undefined && others.every((each) => each === likeness)) return first;
  const differs = answers.some((each) => each.verdict !== answers[0]?.verdict);
  const heading = differs ? `${withDocument ? '# ' : ''}IPv4 and IPv6 differ\n\n` : '';
  const parts = answers.map(({ family }, index) => {
    const title = withDocument ? `# IPv${family}:\n` : `IPv${family}: `;
    return `${title}${bodies[index] ?? ''}`;
  });
  return `${heading}${parts.join('\n')}`;
}

/** What must be the same for one text to stand for both families. */
function likenessOf({ verdict, audit, open = '', egress, ingress, unasked }: Answer): string {
  const sides = [egress, ingress].map((each) => [
    each?.verdict,
    each?.rules,
    each?.passed,
    each?.misses.map(({ rule, path, failed }) => [rule, path, failed]),
  ]);
  return JSON.stringify([verdict, audit, open.replaceAll('ICMPv6', 'ICMP'), sides, unasked]);
}

function body(answer: Answer, withDocument: boolean): string {
  const { from, to, verdict, audit, explained, open } = answer;
  const lines: string[] = [];
  const word = audit ? `audited: would be ${verdict}` : verdict;
  if (open === undefined) lines.push(`${word}: ${from} -> ${to} ${explained}`);
  else {
    lines.push(`${word}: ${from} -> ${to}, any port`);
    lines.push(`open: ${open}`);
    if (verdict === 'partly allowed') lines.push(`the rest, at the example of ${explained}:`);
  }
  const { egress, ingress, unasked } = answer;
  lines.push(...side('egress', from, egress, unasked.egress));
  lines.push(...side('ingress', to, ingress, unasked.ingress));
  lines.push(...changes(answer, withDocument));
  const mark = withDocument ? '# ' : '';
  const shown = lines.map((line) => {
    const [first = '', ...document] = line.split('\n');
    return [`${mark}${printable(first)}`, ...document].join('\n').trimEnd();
  });
  return `${shown.join('\n')}\n`;
}

function side(
  direction: Side,
  own: string,
  found: SideAnswer | undefined,
  unasked: readonly string[],
): string[] {
  const title = `${direction} of ${own}`;
  if (unasked.length > 0) {
    const because =
      own === 'host'
        ? 'there is no host firewall'
        : 'it is not known whether that node has a host firewall';
    return [
      `${title}: allowed, ${because}; policies for nodes, which are not asked:`,
      ...unasked.map((policy) => `  ${policy}`),
    ];
  }
  if (found === undefined && own === 'host')
    return [`${title}: allowed, there is no host firewall`];
  if (found === undefined) return [`${title}: allowed, not a pod: no policy here`];
  const lines = [`${title}: ${sentence(found)}`];
  for (const rule of found.passed) lines.push(`  passed on to the next tier by ${rule}`);
  if (found.misses.length > 0) lines.push('  nearest:');
  for (const { rule, path, reasons } of found.misses) {
    lines.push(`    ${path} of ${rule}: ${reasons.join('; ')}`);
  }
  return lines;
}

function sentence({ verdict, audit, enforced, default: isDefault, by, rules }: SideAnswer): string {
  const isImplicit = rules.every((rule) => rule.startsWith('implicit:'));
  if (!enforced) return by === '' ? 'allowed, no policy applies' : `allowed: ${by}`;
  if (verdict === 'denied') {
    const why = isDefault ? `, nothing allows it; default deny by ${by}` : ` by ${by}`;
    return `denied${why}${audit ? '; only audited, so it goes on' : ''}`;
  }
  if (/^allow-any-/.test(by)) return 'allowed, nothing denies it and no policy denies by default';
  return isImplicit ? `allowed: ${by}` : `allowed by ${by}`;
}

function changes(answer: Answer, withDocument: boolean): string[] {
  const { from, to, verdict } = answer;
  const sides = [
    ['egress', from, answer.egress],
    ['ingress', to, answer.ingress],
  ] as const;
  const wanted = verdict === 'allowed' ? 'allowed' : 'denied';
  const lines = sides.flatMap(([direction, own, found]) => {
    if (found === undefined || found.verdict !== wanted) return [];
    return change(direction, own, found, withDocument);
  });
  if (withDocument && verdict === 'allowed') return ['nothing to suggest: it is allowed'];
  return lines.length === 0 ? [] : ['what would change it:', ...lines];
}

function change(direction: Side, own: string, found: SideAnswer, withDocument: boolean): string[] {
  const { kind, rules, document, becomes, becauseOf, obstacle } = found.change;
  const because = becauseOf.length === 0 ? 'nothing speaks about it' : rulesText(becauseOf);
  switch (kind) {
    case 'add': {
      if (document === undefined) return [];
      if (withDocument) return [`  add, for ${direction} of ${own}:\n${yamlDocument(document)}`];
      return [`  a rule for ${direction} of ${own} (--suggest prints it)`];
    }
    case 'remove': {
      const still = becomes === found.verdict ? 'still ' : '';
      return [
        `  without ${rulesText(rules)}: ${still}${becomes} (${because})`,
        ...(withDocument && obstacle !== undefined ? [`  nothing to add: ${obstacle}`] : []),
      ];
    }
    case 'select':
      return [`  a policy with ${direction} that selects ${own} and does not allow it`];
    case 'none':
      return [`  no single rule for ${direction} of ${own}: ${obstacle ?? because}`];
  }
}
