/**
 * @module `dbg policy get|selectors|wait|validate`: the policy rules and selectors of the agent by REST.
 */
import type { Command } from '../command.ts';
import { validateCommand } from '../policy/validate-command.ts';
import { outputFlag, renderValue } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { formatLines } from '../text-table.ts';
import type { Label, SelectorModel } from './models.ts';
import { waitCommand } from './policy-wait.ts';
import { openSession, showCommand } from './session.ts';

export const policyCommand: Command = {
  name: 'policy',
  summary: 'Manage security policies',
  commands: [
    {
      name: 'get',
      summary: 'Display policy node information',
      positionals: [
        { name: 'label', help: 'only rules with all of these labels', optional: true, many: true },
      ],
      examples: [['cilium dbg policy get', 'the rules in force, and their revision']],
      flags: [outputFlag],
      run: async (invocation) => {
        const { client } = openSession(invocation);
        const labels = invocation.args;
        const policy = await client.get<{ policy?: string; revision?: number }>('/policy', {
          answer: 'getPolicyNotFound',
          ...(labels.length === 0 ? {} : { body: labels }),
        });
        const form = invocation.flags.string('output');
        if (form !== undefined) printOut(await renderValue(form, policy));
        else printOut(`${policy.policy ?? '[]'}\nRevision: ${policy.revision ?? 0}\n`);
        return 0;
      },
    },
    waitCommand,
    {
      ...validateCommand,
      summary: 'Validate a policy',
      examples: [['cilium dbg policy validate web.yaml', 'as cilium policy validate']],
    },
    showCommand({
      name: 'selectors',
      examples: [['cilium dbg policy selectors', 'which identities each selector selects']],
      summary: 'Display cached information about selectors',
      flags: [{ name: 'verbose', short: 'v', kind: 'boolean', help: 'print all labels' }],
      doing: 'Cannot get policy selectors',
      fetch: ({ client }) => client.get<SelectorModel[]>('/policy/selectors'),
      table: (list, { flags }) => formatSelectors(list, flags.boolean('verbose')),
    }),
  ],
};

/** Sorted by selector; one further line for each further identity. */
export function formatSelectors(list: readonly SelectorModel[], verbose = false): string {
  const sorted = [...list].sort((a, b) => ((a.selector ?? '') < (b.selector ?? '') ? -1 : 1));
  const lines = sorted.flatMap((one) => {
    const identities = [...(one.identities ?? [])].sort((a, b) => a - b).map(String);
    const [first = '', ...rest] = identities;
    const labels = verbose ? allLabels(one.labels ?? []) : policyName(one.labels ?? []);
    return [
      [one.selector ?? '', labels, String(one.users ?? 0), first, ''],
      ...rest.map((identity) => ['', '', '', identity, '']),
    ];
  });
  return formatLines([['SELECTOR', 'LABELS', 'USERS', 'IDENTITIES'], ...lines]);
}

function allLabels(labels: readonly Label[]): string {
  return `[${labels.map((one) => `${one.source}:${one.key}=${one.value}`).join(' ')}]`;
}

/** `namespace/name` of the policy that brought the selector. */
function policyName(labels: readonly Label[]): string {
  const value = (key: string) =>
    labels.find((one) => one.key === `io.cilium.k8s.policy.${key}`)?.value;
  const name = value('name') ?? '';
  const namespace = value('namespace');
  return namespace === undefined ? name : `${namespace}/${name}`;
}
