/**
 * @module `/config`: what the CNI plugin and people ask about the agent's configuration, and the
 * runtime options that a client may change.
 */
import { isObject } from '../endpoint/request.ts';
import { isRefusal } from '../ipam/table.ts';
import { hostAddressing } from './addressing.ts';
import { badBody, requireBody } from './body.ts';
import type { RestContext } from './context.ts';
import { type Reply, reply, replyEmpty, replyRefusal } from './reply.ts';
import type { Call, Route } from './router.ts';

/** Values that the boolean runtime options take, as upstream reads them. */
const switchValues: Readonly<Record<string, string>> = {
  true: 'Enabled',
  on: 'Enabled',
  enable: 'Enabled',
  enabled: 'Enabled',
  '1': 'Enabled',
  false: 'Disabled',
  off: 'Disabled',
  disable: 'Disabled',
  disabled: 'Disabled',
  '0': 'Disabled',
};

/** Levels of MonitorAggregationLevel. */
const aggregationLevels = ['None', 'Lowest', 'Low', 'Medium', 'Max', 'Maximum'];

/** The part of the configuration that a plugin needs to set up a pod; also sent with addresses. */
export function pluginConfiguration({ settings }: RestContext) {
  return {
    datapathMode: 'veth',
    deviceMTU: settings.deviceMtu,
    routeMTU: settings.routeMtu,
  };
}

function getConfig({ context }: Call): Reply {
  const { settings } = context;
  const spec = {
    options: context.runtimeOptions(),
    'policy-enforcement': settings.policyEnforcement,
  };
  return reply({
    spec,
    status: {
      ...pluginConfiguration(context),
      addressing: hostAddressing(context),
      daemonConfigurationMap: settings.options,
      'ipam-mode': 'host-scope',
      kvstoreConfiguration: {},
      masquerade: settings.masqueradeIpv4 || settings.masqueradeIpv6,
      masqueradeProtocols: { ipv4: settings.masqueradeIpv4, ipv6: settings.masqueradeIpv6 },
      realized: spec,
    },
  });
}

function patchConfig({ context, request }: Call): Reply {
  const body = requireBody(request, 'configuration');
  if (!isObject(body)) throw badBody('configuration', 'configuration: has to be an object');
  const { options = {}, 'policy-enforcement': enforcement } = body;
  if (!isObject(options)) throw badBody('configuration', 'options: has to be an object');
  if (enforcement !== undefined && enforcement !== context.settings.policyEnforcement) {
    return reply('policy-enforcement: can only be set when the agent starts', 400);
  }
  const current = context.runtimeOptions();
  const wanted: Record<string, string> = {};
  for (const [name, text] of Object.entries(options)) {
    const before = Object.hasOwn(current, name) ? current[name] : undefined;
    const value = before === undefined ? undefined : optionValue(before, text);
    if (before === undefined) return refuseOption(`unknown option ${JSON.stringify(name)}`);
    if (value === undefined) return refuseOption(`${name}: ${JSON.stringify(text)} is no value`);
    wanted[name] = value;
  }
  const refusal = context.setRuntimeOptions(wanted);
  return isRefusal(refusal) ? replyRefusal(refusal) : replyEmpty();
}

function refuseOption(reason: string): Reply {
  return reply(`invalid configuration option: ${reason}`, 400);
}

/** The value in the form in which the option prints itself. */
function optionValue(before: string, text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined;
  const lower = text.toLowerCase();
  if (before === 'Enabled' || before === 'Disabled') return switchValues[lower];
  return aggregationLevels.find((level) => level.toLowerCase() === lower);
}

export const configRoutes: readonly Route[] = [
  { method: 'GET', path: '/config', operation: 'GetConfig', run: getConfig },
  { method: 'PATCH', path: '/config', operation: 'PatchConfig', run: patchConfig },
];
