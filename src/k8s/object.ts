/**
 * @module
 * Kubernetes objects that are not policies, as far as policy needs them: plain values, checked by
 * `parse-object.ts`.
 */

export type ClusterObject =
  | NamespaceObject
  | PodObject
  | NodeObject
  | ServiceObject
  | EndpointsObject
  | CidrGroupObject;

export type ClusterObjectKind = ClusterObject['kind'];

export type Labels = Readonly<Record<string, string>>;

export interface NamespaceObject {
  readonly kind: 'Namespace';
  readonly name: string;
  /** As written; `kubernetes.io/metadata.name` is always among them. */
  readonly labels: Labels;
}

/** A named container port, `spec.containers[].ports[]`; entries without a name are left out. */
export interface ContainerPort {
  readonly name: string;
  readonly port: number;
  /** IANA number: 6, 17, 132. */
  readonly proto: number;
}

export interface PodObject {
  readonly kind: 'Pod';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  readonly labels: Labels;
  readonly serviceAccount: string | undefined;
  readonly nodeName: string | undefined;
  readonly hostNetwork: boolean;
  /** Canonical text, from `status.podIPs` and `status.podIP`. */
  readonly addresses: readonly string[];
  readonly ports: readonly ContainerPort[];
  /** True when `status.phase` is Succeeded or Failed: its address is nobody's. */
  readonly ended: boolean;
}

export interface NodeObject {
  readonly kind: 'Node';
  readonly name: string;
  readonly labels: Labels;
  /** `status.addresses` that are addresses, canonical. */
  readonly addresses: readonly string[];
}

export interface ServiceObject {
  readonly kind: 'Service';
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  /** Undefined or empty: its backends are in Endpoints or EndpointSlices that somebody else writes. */
  readonly selector: Labels | undefined;
}

/** The backends of a service: an Endpoints object, or one EndpointSlice. */
export interface EndpointsObject {
  readonly kind: 'Endpoints' | 'EndpointSlice';
  readonly namespace: string;
  readonly name: string;
  /** The service that it belongs to; undefined for a slice that names none. */
  readonly service: string | undefined;
  readonly addresses: readonly string[];
}

export interface CidrGroupObject {
  readonly kind: 'CiliumCIDRGroup';
  readonly name: string;
  readonly labels: Labels;
  /** Canonical prefixes. */
  readonly cidrs: readonly string[];
}

/** `kind/namespace/name`; the namespace is empty for cluster-scoped kinds. */
export function objectKey(object: ClusterObject): string {
  const namespace = 'namespace' in object ? object.namespace : '';
  return `${object.kind}/${namespace}/${object.name}`;
}
