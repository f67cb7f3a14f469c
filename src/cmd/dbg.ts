/**
 * @module `cilium dbg` (`cilium-dbg`): what the agent of this machine knows and what is in its maps. REST
 * on the agent's socket, or the pinned maps themselves.
 */
import type { Command } from './command.ts';
import { bpfCommand } from './dbg/bpf.ts';
import { configCommand } from './dbg/config.ts';
import { debuginfoCommand } from './dbg/debuginfo.ts';
import { endpointCommand } from './dbg/endpoint.ts';
import { identityCommand } from './dbg/identity.ts';
import { ipCommand } from './dbg/ip.ts';
import { mapCommand } from './dbg/map.ts';
import { monitorCommand } from './dbg/monitor.ts';
import { policyCommand } from './dbg/policy.ts';
import { sessionFlags } from './dbg/session.ts';
import { dbCommand } from './dbg/tables.ts';
import { uninstallCommand } from './dbg/uninstall.ts';
import { command as features } from './features.ts';
import { command as status } from './status.ts';
import { command as version } from './version.ts';

export const command: Command = {
  name: 'dbg',
  summary: 'Look into the agent of this machine and its maps',
  flags: sessionFlags,
  commands: [
    bpfCommand,
    configCommand,
    dbCommand,
    debuginfoCommand,
    endpointCommand,
    features,
    identityCommand,
    ipCommand,
    mapCommand,
    monitorCommand,
    policyCommand,
    uninstallCommand,
    status,
    version,
  ],
};
