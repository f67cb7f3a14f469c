/**
 * @module The parts of the REST answers that the commands read. Everything is optional: the other side
 * may be an older or newer agent.
 */

export interface Label {
  readonly key?: string;
  readonly value?: string;
  readonly source?: string;
}

export interface EndpointModel {
  readonly id?: number;
  readonly status?: {
    readonly state?: string;
    readonly identity?: IdentityModel;
    readonly labels?: { readonly 'security-relevant'?: readonly string[] };
    readonly networking?: {
      readonly addressing?: readonly { readonly ipv4?: string; readonly ipv6?: string }[];
    };
    readonly policy?: {
      readonly realized?: { readonly 'policy-enabled'?: string };
      readonly spec?: { readonly 'policy-enabled'?: string };
    };
    readonly 'external-identifiers'?: { readonly 'pod-name'?: string };
  };
}

export interface IdentityModel {
  readonly id?: number;
  readonly labels?: readonly string[];
}

export interface IdentityEndpoints {
  readonly identity?: IdentityModel;
  readonly refCount?: number;
}

export interface EndpointHealth {
  readonly overallHealth?: string;
  readonly bpf?: string;
  readonly policy?: string;
  readonly connected?: boolean;
}

export interface EndpointLogEntry {
  readonly timestamp?: string;
  readonly code?: string;
  readonly state?: string;
  readonly message?: string;
}

export interface IpEntry {
  readonly cidr?: string;
  readonly hostIP?: string;
  readonly identity?: number;
  readonly encryptKey?: number;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly source?: string;
  };
}

export interface MapModel {
  readonly path?: string;
  /** How many it has; a list has no cache. */
  readonly entries?: number;
  readonly cache?: readonly MapEntry[] | null;
}

export interface MapEntry {
  readonly key?: string;
  readonly value?: string;
  readonly 'desired-action'?: string;
  readonly 'last-error'?: string;
}

export interface SelectorModel {
  readonly selector?: string;
  readonly labels?: readonly Label[];
  readonly users?: number;
  readonly identities?: readonly number[] | null;
}

/** A table of the agent, as `db show` gets it. */
export interface TableModel {
  readonly name?: string;
  readonly columns?: readonly string[];
  readonly cells?: readonly (readonly string[])[];
  readonly rows?: readonly unknown[];
}

export interface TableSummary {
  readonly name?: string;
  readonly objects?: number;
  readonly zombies?: number;
  readonly revision?: number;
}
