/**
 * @module A row of the table of policy shapes.
 */

/** The address of a pod by "namespace/name". */
export type AddressOf = (pod: string, family: 4 | 6) => string;

/** What the folder of policies holds at one moment. Labels stand for those of the Pod and Namespace objects. */
export interface Step {
  readonly policies: readonly object[];
  readonly podLabels?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly namespaceLabels?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface Shape {
  readonly name: string;
  /** Each step is judged by traffic before the next. */
  readonly write: (addressOf: AddressOf) => readonly Step[];
}
