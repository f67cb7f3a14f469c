/**
 * @module `cilium policy suggest`: the least policies that admit the flows that were observed, as YAML.
 */
import { type Observation, suggestPolicies } from '../../daemon/policy/explain/suggest.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { renderValue } from '../rendering.ts';
import { printError, printOut } from '../terminal.ts';
import { yamlDocument } from './document-text.ts';
import { count, readFlows, type SeenConnection } from './flows.ts';
import { answering, exitCode, word } from './options.ts';

export function suggest(invocation: Invocation): Promise<number> {
  return answering(invocation, async () => {
    const { flags, args } = invocation;
    if (args.length > 0) throw new UsageError(`unexpected ${JSON.stringify(args[0])}`);
    const kind = word(invocation, 'kind', ['cnp', 'netpol']) ?? 'cnp';
    const direction = word(invocation, 'direction', ['ingress', 'egress', 'both']) ?? 'both';
    const { connections, read, skipped } = await readFlows(invocation);
    const wanted = flags.boolean('include-denied')
      ? connections
      : connections.filter((each) => each.verdict === 'allowed');
    const { documents, notes } = suggestPolicies(wanted.map(observationOf), {
      kind,
      directions: direction === 'both' ? ['ingress', 'egress'] : [direction],
      namespace: flags.string('namespace'),
    });
    const left = connections.length - wanted.length;
    if (left > 0)
      printError(
        `# left out, for policy denied them, or would have without audit (--include-denied): ${left} of ${connections.length} connections`,
      );
    for (const note of documents.length === 0 ? [] : notes) printError(`# ${note}`);
    if (documents.length === 0 && left === 0) printError('# no connection of a pod was observed');
    const form = flags.string('output');
    if (form === undefined || form === 'yaml') {
      printOut(basisText(read, skipped, connections.length));
      printOut(documents.map(yamlDocument).join(''));
    } else {
      // Where a reader of a List, ours included, takes fields that it does not know.
      const metadata = { flows: read, skipped, connections: connections.length };
      const list = { apiVersion: 'v1', kind: 'List', metadata, items: documents };
      printOut(await renderValue(form, list));
    }
    return exitCode.fine;
  });
}

/** Few flows make policies that are too narrow: whoever applies them sees how many there were. */
function basisText(read: number, skipped: number, connections: number): string {
  const flows = `${count(read, 'flow')}, ${skipped} skipped`;
  return `# from ${count(connections, 'connection')} (${flows}): what was not seen is not admitted\n`;
}

function observationOf({ from, to, proto, port }: SeenConnection): Observation {
  return { from, to, proto, port };
}
