/**
 * @module
 * Values that are understood and that nothing carries out yet, of options on which protection or
 * reachability rests. Who sets one is told, once, also when it is the default.
 */
import type { AgentConfig } from './config.ts';

type Asked = Pick<
  AgentConfig,
  'enableK8s' | 'routingMode' | 'kubeProxyReplacement' | 'ipam' | 'identityAllocationMode'
>;

interface Unsupported {
  readonly option: string;
  readonly asked: (config: Asked, options: Options) => boolean;
  readonly instead: string;
}

type Options = AgentConfig['options'];

const always = () => true;

const unsupported: readonly Unsupported[] = [
  {
    option: 'enable-k8s',
    asked: (config) => config.enableK8s,
    instead: 'no Kubernetes yet: endpoints come by CNI and policies by static-cnp-path',
  },
  {
    option: 'routing-mode',
    asked: (config) => config.routingMode === 'tunnel',
    instead: 'no tunnel yet: packets to other nodes take the routes of this one',
  },
  {
    option: 'tunnel-protocol',
    asked: always,
    instead: 'no tunnel yet: packets to other nodes take the routes of this one',
  },
  {
    option: 'enable-l7-proxy',
    asked: (_, options) => options['enable-l7-proxy'] === true,
    instead: 'no proxy yet: policies with rules for HTTP, DNS or Kafka are refused',
  },
  {
    option: 'kube-proxy-replacement',
    asked: (config) => config.kubeProxyReplacement,
    instead: 'no services yet: leave kube-proxy in place',
  },
  {
    option: 'ipam',
    asked: (config) => !['cluster-pool', 'kubernetes'].includes(config.ipam),
    instead: 'addresses come from ipv4-range and ipv6-range of this node',
  },
  {
    option: 'identity-allocation-mode',
    asked: always,
    instead: 'identities are numbered by each agent for itself',
  },
  {
    option: 'label-prefix-file',
    asked: (_, options) => options['label-prefix-file'] !== '',
    instead: 'which labels make an identity is said by option labels',
  },
  {
    option: 'api-rate-limit',
    asked: (_, options) => options['api-rate-limit'] !== '',
    instead: 'requests are not limited',
  },
];

/** Options that are explained here if somebody sets them. */
export const explainedOptions: ReadonlySet<string> = new Set(unsupported.map((one) => one.option));

/** One line for each that somebody set. */
export function unsupportedValues(
  config: Asked,
  explicit: ReadonlySet<string>,
  options: Options,
): string[] {
  return unsupported
    .filter(({ option, asked }) => explicit.has(option) && asked(config, options))
    .map(({ option, instead }) => {
      return `option ${option}=${String(options[option])} is not supported yet: ${instead}`;
    });
}
