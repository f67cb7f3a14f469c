/**
 * @module `cilium policy suggest`: the least policies that admit the flows that were observed, as YAML.
 */
import { type Observation, suggestPolicies } from '../../daemon/policy/explain/suggest.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { renderValue } from '../rendering.ts';
import { printError, printOut } from '../terminal.ts';
import { yamlDocument } from './document-text.ts';
import { readFlows, type SeenConnection } from './flows.ts';
import { answering, exitCode, word } from './options.ts';

export function suggest(invocation: Invocation): Promise<number> {
  return answering(invocation, async () => {
    const { flags, args } = invocation;
    if (args.length > 0) throw new UsageError(`unexpected ${JSON.stringify(args[0])}`);
    const kind = word(invocation, 'kind', ['cnp', 'netpol']) ?? 'cnp';
    const direction = word(invocation, 'direction', ['ingress', 'egress', 'both']) ?? 'both';
    const { connections } = await readFlows(invocation);
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
        `# left out, for policy denied them (--include-denied): ${left} of ${connections.length} connections`,
      );
    for (const note of notes) printError(`# ${note}`);
    if (documents.length === 0) printError('# no connection of a pod was observed');
    const form = flags.string('output');
    if (form === undefined || form === 'yaml') {
      printOut(documents.map(yamlDocument).join(''));
    } else printOut(await renderValue(form, { apiVersion: 'v1', kind: 'List', items: documents }));
    return exitCode.fine;
  });
}

function observationOf({ from, to, proto, port }: SeenConnection): Observation {
  return { from, to, proto, port };
}
