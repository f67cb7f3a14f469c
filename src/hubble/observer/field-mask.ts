/**
 * @module
 * Field masks: which parts of a flow a client wants. Paths use proto names
 * (`source.identity`, `l4`); an unknown path is the client's mistake.
 */
import { Flow } from '../../api/gen/flow/flow.ts';
import { type MessageSchema, messageSchema } from '../../api/json/schema.ts';
import { FilterError } from '../filters/predicate.ts';

/** undefined: the whole field. */
interface MaskNode {
  readonly children: Map<string, MaskNode | undefined>;
}

export type FieldMask = (flow: Flow) => Flow;

/** Throws FilterError for a path that no flow has. */
export function buildFieldMask(paths: readonly string[]): FieldMask {
  const root: MaskNode = { children: new Map() };
  for (const path of paths) addPath(root, path);
  return (flow) =>
    Flow.fromPartial(copy(root, flow as unknown as Record<string, unknown>) as Partial<Flow>);
}

function addPath(root: MaskNode, path: string): void {
  let node = root;
  let schema: MessageSchema | undefined = messageSchema('flow.Flow');
  const names = path.split('.');
  names.forEach((name, index) => {
    const field: MessageSchema['fields'][number] | undefined = schema?.fields.find(
      (one) => one.name === name,
    );
    if (field === undefined)
      throw new FilterError(`field mask: unknown path ${JSON.stringify(path)}`);
    const isLast = index === names.length - 1;
    if (!isLast && (field.repeated || field.message === undefined)) {
      throw new FilterError(`field mask: ${JSON.stringify(path)} goes into ${name}`);
    }
    schema = field.message;
    const present = node.children.has(name);
    const known = node.children.get(name);
    if (isLast) node.children.set(name, undefined);
    else if (!present || known !== undefined) {
      const next = known ?? { children: new Map<string, MaskNode | undefined>() };
      node.children.set(name, next);
      node = next;
    } else {
      // The whole of it is wanted already.
      node = { children: new Map() };
    }
  });
}

function copy(node: MaskNode, from: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, child] of node.children) {
    const value = from[name];
    if (value === undefined) continue;
    result[name] =
      child === undefined || typeof value !== 'object' || value === null
        ? value
        : copy(child, value as Record<string, unknown>);
  }
  return result;
}
