/**
 * @module `dbg identity list|get`: the agent's identities by REST.
 */
import type { Command } from '../command.ts';
import type { Flag } from '../flags.ts';
import { UsageError } from '../flags.ts';
import { formatLines } from '../text-table.ts';
import type { IdentityEndpoints, IdentityModel } from './models.ts';
import { type Session, showCommand } from './session.ts';

const endpointsFlag: Flag = {
  name: 'endpoints',
  kind: 'boolean',
  help: 'list identities of locally managed endpoints',
};

const labelFlag: Flag = { name: 'label', kind: 'strings', help: 'label to look up' };

export const identityCommand: Command = {
  name: 'identity',
  summary: 'Manage security identities',
  commands: [
    showCommand<readonly (IdentityModel & IdentityEndpoints)[]>({
      name: 'list',
      summary: 'List identities',
      positionals: [
        { name: 'label', help: 'only the identity of exactly these', optional: true, many: true },
      ],
      examples: [
        ['cilium dbg identity list', 'numbers and their labels'],
        ['cilium dbg identity list --endpoints', 'those that pods of this node have'],
      ],
      flags: [endpointsFlag],
      doing: 'Cannot get identities for given labels',
      fetch: ({ client }, { args, flags }) =>
        flags.boolean('endpoints')
          ? client.get('/identity/endpoints')
          : client.get('/identity', {
              answer: 'getIdentityNotFound',
              ...(args.length === 0 ? {} : { body: args }),
            }),
      table: (list, { flags }) =>
        flags.boolean('endpoints') ? formatIdentityEndpoints(list) : formatIdentities(list),
    }),
    showCommand({
      name: 'get',
      summary: 'Retrieve information about an identity',
      positionals: [{ name: 'identity', help: 'its number', optional: true }],
      examples: [['cilium dbg identity get 1', 'the labels of one identity']],
      flags: [labelFlag],
      doing: '',
      fetch: (session, { args, flags }) => getIdentity(session, args[0], flags.strings('label')),
      table: formatIdentities,
    }),
  ],
};

async function getIdentity(
  { client }: Session,
  id: string | undefined,
  labels: readonly string[],
): Promise<IdentityModel[]> {
  if (id === undefined && labels.length === 0) {
    throw new UsageError('missing argument: an identity or --label');
  }
  const asked = id ?? `[${labels.join(' ')}]`;
  try {
    if (id === undefined) {
      const request = { route: '/identity', answer: 'getIdentityNotFound', body: labels };
      return await client.get<IdentityModel[]>('/identity', request);
    }
    const request = { route: '/identity/{id}', answer: 'getIdentityIdNotFound' };
    return [await client.get<IdentityModel>(`/identity/${encodeURIComponent(id)}`, request)];
  } catch (error) {
    const what = id === undefined ? 'labels' : 'given ID';
    if (error instanceof Error) {
      error.message = `Cannot get identity for ${what} ${asked}: ${error.message}\n`;
    }
    throw error;
  }
}

/** Sorted by number; one line for each label. */
export function formatIdentities(list: readonly IdentityModel[]): string {
  const sorted = [...list].sort((a, b) => (a.id ?? 0) - (b.id ?? 0));
  return formatLines([
    ['ID', 'LABELS'],
    ...sorted.flatMap((one) => labelLines(one).map(([id, label]) => [id, label])),
  ]);
}

export function formatIdentityEndpoints(list: readonly IdentityEndpoints[]): string {
  const sorted = [...list].sort((a, b) => (a.identity?.id ?? 0) - (b.identity?.id ?? 0));
  const lines = sorted.flatMap(({ identity, refCount }) =>
    labelLines(identity ?? {}).map(([id, label]) => [
      id,
      label,
      id === '' ? '' : String(refCount ?? 0),
      '',
    ]),
  );
  // The count is a cell of its own only below the header.
  return formatLines([['ID', 'LABELS', 'REFCOUNT'], ...lines]);
}

function labelLines({ id, labels }: IdentityModel): [id: string, label: string][] {
  const sorted = [...(labels ?? [])].sort();
  const [first = '', ...rest] = sorted;
  return [[String(id ?? 0), first], ...rest.map((label): [string, string] => ['', label])];
}
