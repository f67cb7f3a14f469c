/**
 * @module CNI CHECK: the endpoint's health as the agent sees it, then the pod's interface against the
 * result of ADD.
 */
import { Agent, agentDown, connectRetryMs } from './agent.ts';
import type { NetworkConf } from './conf.ts';
import type { CniEnvironment } from './environment.ts';
import { CniError } from './error.ts';
import { expectedInterface } from './result.ts';

/** Checks an attachment. Throws what is wrong with it. */
export async function check(environment: CniEnvironment, conf: NetworkConf): Promise<string> {
  if (conf.prevResult === undefined) {
    throw new CniError('invalidNetworkConfig', 'prevResult: is required for CHECK');
  }
  const expected = expectedInterface(conf.prevResult, environment.ifname);
  const health = await askHealth(environment, conf);
  const name = `${environment.containerId}:${environment.ifname}`;
  if (health === undefined) {
    throw new CniError('endpointUnknown', `no endpoint for CNI attachment ID ${name}`);
  }
  if (health === 'Failure') throw new CniError('endpointFailing', `endpoint ${name} is failing`);
  const { openPodNetns, readPodInterface } = await import('./pod-interface.ts');
  using netns = openPodNetns(environment.netns);
  const found = readPodInterface(netns, environment.ifname);
  const { ifname } = environment;
  if (found === undefined) throw new CniError('internal', `cannot find container link ${ifname}`);
  if (expected.mac !== '' && found.mac !== expected.mac.toLowerCase()) {
    const message = `expected mac ${expected.mac} on interface ${ifname}, found ${found.mac}`;
    throw new CniError('internal', message);
  }
  for (const address of expected.addresses) {
    if (!found.addresses.includes(address)) {
      throw new CniError('internal', `expected ip ${address} on interface ${ifname}`);
    }
  }
  if (!found.up) throw new CniError('internal', `interface ${ifname} is down`);
  return '';
}

async function askHealth(
  { containerId, ifname }: CniEnvironment,
  conf: NetworkConf,
): Promise<string | undefined> {
  try {
    using agent = await Agent.connect(conf.socketPath, connectRetryMs);
    return await agent.health(containerId, ifname);
  } catch (error) {
    throw agentDown(error);
  }
}
