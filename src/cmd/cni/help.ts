/**
 * @module What `cilium cni` says to a person who calls it by hand; a runtime never comes here.
 */
import type { Command } from '../command.ts';
import { usageText } from '../usage.ts';

export const command: Command = {
  name: 'cni',
  summary:
    'The CNI plugin (cilium-cni), specification 0.3.1 to 1.1.0, called by the container runtime: CNI_COMMAND, ' +
    'CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS in the environment, a network configuration on standard ' +
    'input, the result on standard output',
  positionals: [
    {
      name: 'command',
      help: 'ADD, DEL, CHECK, STATUS, GC or VERSION, in place of CNI_COMMAND',
      optional: true,
    },
  ],
  flags: [{ name: 'version', kind: 'boolean', help: 'print the version' }],
  examples: [
    ['cilium cni VERSION', 'the versions of the specification that it speaks'],
    [
      'CNI_COMMAND=ADD CNI_CONTAINERID=web CNI_NETNS=/run/netns/web CNI_IFNAME=eth0 cilium-cni < conf.json',
      'attach a namespace; conf.json names the plugin and, by cilium-sock, the agent',
    ],
  ],
};

/** Text for `--help` and `--version`; undefined when the word is neither. */
export async function answerTo(word: string): Promise<string | undefined> {
  if (word === '--help' || word === '-h' || word === 'help') return usageText([command]);
  if (word !== '--version') return undefined;
  return `${(await import('../../version.ts')).versionLine()}\n`;
}
