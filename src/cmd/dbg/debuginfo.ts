/**
 * @module `dbg debuginfo`: everything that helps to understand a problem, in one text: the agent's answers
 * and the maps. A part that cannot be had says why and the rest goes on.
 */
import { writeFileSync } from 'node:fs';
import { version } from '../../version.ts';
import type { Command, Invocation } from '../command.ts';
import type { Flag } from '../flags.ts';
import { goJson } from '../rendering.ts';
import { errorText, printOut } from '../terminal.ts';
import { readPolicies } from './bpf-policy-read.ts';
import type { TableSummary } from './models.ts';
import { findBpfRoot, openSession } from './session.ts';

const fileFlag: Flag = {
  name: 'file',
  short: 'f',
  kind: 'boolean',
  help: 'write to a file in the current directory',
};
const outputKind: Flag = {
  name: 'output',
  short: 'o',
  kind: 'string',
  help: 'markdown | json (default markdown)',
};

export const debuginfoCommand: Command = {
  name: 'debuginfo',
  summary: 'Request available debugging information from agent',
  flags: [fileFlag, outputKind],
  examples: [
    ['cilium dbg debuginfo', 'for a look'],
    ['cilium dbg debuginfo -f -o json', 'into a file, for a program'],
  ],
  run: async (invocation) => {
    const parts = await collect(invocation);
    const json = invocation.flags.string('output') === 'json';
    const text = json ? `${goJson(Object.fromEntries(parts), 2)}\n` : markdown(parts);
    if (!invocation.flags.boolean('file')) {
      printOut(text);
      return 0;
    }
    const stamp = new Date().toISOString().replaceAll(':', '-').slice(0, 19);
    const name = `cilium-debuginfo-${stamp}.${json ? 'json' : 'md'}`;
    writeFileSync(name, text, { mode: 0o600 });
    printOut(`file ${name}\n`);
    return 0;
  },
};

const paths = [
  ['Status', '/healthz'],
  ['Configuration', '/config'],
  ['Endpoints', '/endpoint'],
  ['Identities', '/identity'],
  ['IP addresses', '/ip'],
  ['Policy', '/policy'],
  ['Selectors', '/policy/selectors'],
  ['Maps', '/map'],
  ['Tables', '/statedb'],
] as const;

async function collect(invocation: Invocation): Promise<[title: string, value: unknown][]> {
  const { client } = openSession(invocation);
  const attempt = async (get: () => unknown): Promise<unknown> => {
    try {
      return await get();
    } catch (error) {
      return { error: errorText(error) };
    }
  };
  const parts: [string, unknown][] = [['Version', version]];
  for (const [title, path] of paths) parts.push([title, await attempt(() => client.get(path))]);
  const tables = await client.get<TableSummary[]>('/statedb').catch(() => []);
  for (const { name = '' } of tables) {
    const path = `/statedb/${encodeURIComponent(name)}`;
    parts.push([`Table ${name}`, await attempt(() => client.get(path))]);
  }
  const bpfRoot = await findBpfRoot(invocation);
  parts.push(['Policy maps', await attempt(() => readPolicies(bpfRoot))]);
  return parts;
}

function markdown(parts: readonly (readonly [string, unknown])[]): string {
  const sections = parts.map(
    ([title, value]) => `#### ${title}\n\n\`\`\`\n${goJson(value, 2)}\n\`\`\`\n`,
  );
  return `# Cilium debug information\n\n${sections.join('\n')}`;
}
