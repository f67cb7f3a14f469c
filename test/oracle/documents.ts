/**
 * @module The shapes of the Kubernetes objects that the oracle reads, as a person writes them in
 * YAML, and of a cluster made of them. Only the fields that have a say in a verdict are named.
 */

/** What the agent was told by its own options, and who it is. */
export interface OracleConfig {
  readonly enablePolicy: 'default' | 'always' | 'never';
  readonly allowLocalhost: boolean;
  readonly cluster: string;
  readonly localNode: string;
  readonly cidrMatchesNodes: boolean;
}

/** A cluster at one moment. Once judged it must not change: what was worked out is kept with it. */
export interface Cluster {
  readonly objects: readonly object[];
  readonly config: OracleConfig;
}

export type Family = 4 | 6;
export type Protocol = 'TCP' | 'UDP' | 'SCTP' | 'ICMP' | 'ICMPv6';
export type Direction = 'ingress' | 'egress';

/** One packet that opens a connection. The port is the type for the two ICMP protocols. */
export interface Query {
  /** "namespace/name" of a pod, or an address. */
  readonly from: string;
  readonly to: string;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly port: number;
}

export type LabelMap = Readonly<Record<string, string>>;

export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

export interface LabelSelector {
  readonly matchLabels?: LabelMap;
  readonly matchExpressions?: readonly LabelRequirement[];
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: LabelMap;
}

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol?: Protocol;
}

export interface PodObject extends KubernetesObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly serviceAccountName?: string;
    readonly containers?: readonly { readonly ports?: readonly ContainerPort[] }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
  };
}

export interface NodeObject extends KubernetesObject {
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
  };
}

export interface ServiceObject extends KubernetesObject {
  readonly spec?: { readonly selector?: LabelMap };
}

export interface EndpointsObject extends KubernetesObject {
  readonly subsets?: readonly { readonly addresses?: readonly { readonly ip: string }[] }[];
}

export interface CidrGroupObject extends KubernetesObject {
  readonly spec: { readonly externalCIDRs?: readonly string[] };
}

export interface NetworkPolicyPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

export interface NetworkPolicyPort {
  readonly port?: number | string;
  readonly endPort?: number;
  readonly protocol?: Protocol;
}

export interface NetworkPolicyRule {
  readonly from?: readonly NetworkPolicyPeer[];
  readonly to?: readonly NetworkPolicyPeer[];
  readonly ports?: readonly NetworkPolicyPort[];
}

export interface NetworkPolicyObject extends KubernetesObject {
  readonly spec: {
    readonly podSelector: LabelSelector;
    readonly policyTypes?: readonly ('Ingress' | 'Egress')[];
    readonly ingress?: readonly NetworkPolicyRule[];
    readonly egress?: readonly NetworkPolicyRule[];
  };
}

export interface CidrRule {
  readonly cidr?: string;
  readonly cidrGroupRef?: string;
  readonly cidrGroupSelector?: LabelSelector;
  readonly except?: readonly string[];
}

export interface ServicePeer {
  readonly k8sService?: { readonly serviceName: string; readonly namespace?: string };
  readonly k8sServiceSelector?: { readonly selector: LabelSelector; readonly namespace?: string };
}

export interface CiliumPort {
  readonly port: string;
  readonly endPort?: number;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP' | 'ANY';
}

export interface IcmpField {
  readonly family?: 'IPv4' | 'IPv6';
  readonly type: number | string;
}

/** An item of one of the four sections, with the field names of both directions. */
export interface CiliumEntry {
  readonly fromEndpoints?: readonly LabelSelector[];
  readonly toEndpoints?: readonly LabelSelector[];
  readonly fromRequires?: readonly LabelSelector[];
  readonly toRequires?: readonly LabelSelector[];
  readonly fromCIDR?: readonly string[];
  readonly toCIDR?: readonly string[];
  readonly fromCIDRSet?: readonly CidrRule[];
  readonly toCIDRSet?: readonly CidrRule[];
  readonly fromEntities?: readonly string[];
  readonly toEntities?: readonly string[];
  readonly fromNodes?: readonly LabelSelector[];
  readonly toNodes?: readonly LabelSelector[];
  readonly toServices?: readonly ServicePeer[];
  readonly toPorts?: readonly { readonly ports?: readonly CiliumPort[] }[];
  readonly icmps?: readonly { readonly fields: readonly IcmpField[] }[];
}

export interface CiliumRule {
  readonly endpointSelector?: LabelSelector;
  readonly nodeSelector?: LabelSelector;
  readonly enableDefaultDeny?: { readonly ingress?: boolean; readonly egress?: boolean };
  readonly ingress?: readonly CiliumEntry[];
  readonly ingressDeny?: readonly CiliumEntry[];
  readonly egress?: readonly CiliumEntry[];
  readonly egressDeny?: readonly CiliumEntry[];
}

/** CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy. */
export interface CiliumPolicyObject extends KubernetesObject {
  readonly spec?: CiliumRule;
  readonly specs?: readonly CiliumRule[];
}

export interface PodsSelector {
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
}

export interface ClusterPolicyPeer {
  readonly namespaces?: LabelSelector;
  readonly pods?: PodsSelector;
  readonly nodes?: LabelSelector;
  readonly networks?: readonly string[];
  readonly domainNames?: readonly string[];
}

export interface DestinationPort {
  readonly number?: number;
  readonly range?: { readonly start: number; readonly end: number };
}

export interface ClusterPolicyProtocol {
  readonly tcp?: { readonly destinationPort?: DestinationPort };
  readonly udp?: { readonly destinationPort?: DestinationPort };
  readonly sctp?: { readonly destinationPort?: DestinationPort };
  readonly destinationNamedPort?: string;
}

export interface ClusterPolicyRule {
  readonly name?: string;
  readonly action: 'Accept' | 'Deny' | 'Pass';
  readonly from?: readonly ClusterPolicyPeer[];
  readonly to?: readonly ClusterPolicyPeer[];
  readonly protocols?: readonly ClusterPolicyProtocol[];
}

export interface ClusterPolicyObject extends KubernetesObject {
  readonly spec: {
    readonly tier: 'Admin' | 'Baseline';
    readonly priority: number;
    readonly subject: { readonly namespaces?: LabelSelector; readonly pods?: PodsSelector };
    readonly ingress?: readonly ClusterPolicyRule[];
    readonly egress?: readonly ClusterPolicyRule[];
  };
}
