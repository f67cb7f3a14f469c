/**
 * @module `dbg config`: options of the running agent, shown and changed by REST.
 */
import type { Command } from '../command.ts';
import type { Flag } from '../flags.ts';
import { outputFlag } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { openSession, printValue, type Session } from './session.ts';

interface ConfigModel {
  readonly spec?: {
    readonly options?: Readonly<Record<string, string>>;
    readonly 'policy-enforcement'?: string;
  };
  readonly status?: {
    readonly realized?: {
      readonly options?: Readonly<Record<string, string>>;
      readonly 'policy-enforcement'?: string;
    };
    readonly daemonConfigurationMap?: Readonly<Record<string, unknown>>;
    readonly nodeMonitor?: { readonly npages?: number };
  };
}

const allFlag: Flag = {
  name: 'all',
  short: 'a',
  kind: 'boolean',
  help: 'also the options that are fixed at the start',
};

export const configCommand: Command = {
  name: 'config',
  summary: 'Cilium configuration options',
  positionals: [
    {
      name: 'option',
      help: 'name=enable or name=disable to change, `get name` for one',
      optional: true,
      many: true,
    },
  ],
  examples: [
    ['cilium dbg config', 'what can be changed while the agent runs'],
    ['cilium dbg config --all', 'everything'],
    ['cilium dbg config TraceNotification=disable', 'no trace events from now on'],
  ],
  flags: [allFlag, outputFlag],
  run: async (invocation) => {
    const session = openSession(invocation);
    const config = await session.client.get<ConfigModel>('/config');
    const { args, flags } = invocation;
    if (args[0] === 'get') {
      printOut(`${oneOption(config, args[1] ?? '')}\n`);
      return 0;
    }
    if (args.length > 0) return change(session, config, args);
    const options = currentOptions(config);
    const value = flags.boolean('all') ? { ...fixedOptions(config), ...options } : options;
    return printValue(invocation, value, () => formatConfig(config, flags.boolean('all')));
  },
};

const enforcementName = 'PolicyEnforcement';

function currentOptions({ spec, status }: ConfigModel): Readonly<Record<string, string>> {
  return status?.realized?.options ?? spec?.options ?? {};
}

/** What is set when the agent starts. */
function fixedOptions({ spec, status }: ConfigModel): Readonly<Record<string, unknown>> {
  const enforcement = (status?.realized ?? spec)?.['policy-enforcement'] ?? '';
  return { ...status?.daemonConfigurationMap, [enforcementName]: enforcement };
}

function isFixed(config: ConfigModel, name: string): boolean {
  return !Object.hasOwn(currentOptions(config), name) && Object.hasOwn(fixedOptions(config), name);
}

function oneOption(config: ConfigModel, name: string): string {
  const value = currentOptions(config)[name] ?? fixedOptions(config)[name];
  if (value === undefined) throw new Error(`configuration "${name}" does not exist`);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const words: Readonly<Record<string, string>> = {
  enable: 'Enabled',
  enabled: 'Enabled',
  true: 'Enabled',
  disable: 'Disabled',
  disabled: 'Disabled',
  false: 'Disabled',
};

/** What `NAME=VALUE` arguments ask for. Throws for an option that is not known. */
export function wantedOptions(
  known: Readonly<Record<string, string>>,
  args: readonly string[],
): Record<string, string> {
  const options: Record<string, string> = {};
  for (const arg of args) {
    const [name = '', value] = arg.split('=', 2);
    if (!Object.hasOwn(known, name)) throw new Error(`unknown option "${name}"`);
    if (value === undefined) throw new Error(`option "${name}" needs a value: ${name}=enable`);
    options[name] = words[value.toLowerCase()] ?? value;
  }
  return options;
}

async function change(
  { client }: Session,
  config: ConfigModel,
  args: readonly string[],
): Promise<number> {
  const fixed = args.map((arg) => arg.split('=')[0] ?? '').find((name) => isFixed(config, name));
  if (fixed !== undefined)
    throw new Error(`option "${fixed}" is read-only: set when the agent starts`);
  const options = wantedOptions(currentOptions(config), args);
  await client.send({
    method: 'PATCH',
    path: '/config',
    body: { options },
    answer: 'patchConfigBadRequest',
  });
  for (const [name, value] of Object.entries(options)) printOut(`${name}: ${value}\n`);
  return 0;
}

/** A line for each option, sorted. */
export function formatOptions(options: Readonly<Record<string, unknown>>): string {
  return Object.entries(options)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => optionLine(name, value))
    .join('');
}

function optionLine(name: string, value: unknown): string {
  return `${name.padEnd(34)}: ${typeof value === 'string' ? value : JSON.stringify(value)}\n`;
}

/** Options in upstream's two sections; without `all`, of those that are fixed only policy's. */
export function formatConfig(config: ConfigModel, all: boolean): string {
  const fixed = fixedOptions(config);
  const shown = all ? fixed : { [enforcementName]: fixed[enforcementName] };
  const pages = config.status?.nodeMonitor?.npages;
  return (
    `#### Read-only configurations ####\n${formatOptions(shown)}` +
    `##### Read-write configurations #####\n${formatOptions(currentOptions(config))}` +
    (pages === undefined ? '' : optionLine('MonitorNumPages', pages))
  );
}
