/**
 * @module The agent's REST calls that the plugin makes, in the plugin's terms: an answer that is
 * needed, or a `CniError`.
 */
import { isObject } from './conf.ts';
import { AgentConnection, AgentDownError, type Answer } from './connection.ts';
import { CniError } from './error.ts';

/** How long ADD and CHECK wait for an agent that is just starting. */
export const connectRetryMs = 1500;
/** Every call but the creation of an endpoint is answered from memory. */
const callTimeoutMs = 5000;
/** The agent gives up first, after 30 s. */
const createTimeoutMs = 45_000;

/** One family of an allocation. */
export interface PodAddress {
  readonly address: string;
  readonly router: string;
  readonly expirationUuid: string;
}

/** What ADD gets from the agent before it makes anything. */
export interface PodAddresses {
  readonly ipv4: PodAddress | undefined;
  readonly ipv6: PodAddress | undefined;
  readonly deviceMtu: number;
  readonly routeMtu: number;
}

/** The agent, as far as a plugin needs it. */
export class Agent implements Disposable {
  readonly #connection: AgentConnection;

  private constructor(connection: AgentConnection) {
    this.#connection = connection;
  }

  static async connect(socketPath: string, retryForMs: number): Promise<Agent> {
    return new Agent(await AgentConnection.open(socketPath, retryForMs));
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  /** Addresses of every enabled family and the configuration, in one round trip. */
  async allocate(owner: string): Promise<PodAddresses> {
    const answer = await this.#connection.request(
      'POST',
      `/v1/ipam?owner=${encodeURIComponent(owner)}`,
      {
        headers: { expiration: 'true', 'with-configuration': 'true' },
        timeoutMs: callTimeoutMs,
      },
    );
    if (answer.status !== 201) {
      throw new CniError(
        'addressesExhausted',
        `allocate addresses for ${owner}: ${textOf(answer)}`,
      );
    }
    const body = objectOf(answer);
    const hosts = fieldOf(body, 'host-addressing');
    const configuration = fieldOf(body, 'configuration');
    return {
      ipv4: addressOf(fieldOf(body, 'ipv4'), fieldOf(hosts, 'ipv4')),
      ipv6: addressOf(fieldOf(body, 'ipv6'), fieldOf(hosts, 'ipv6')),
      deviceMtu: numberOf(configuration['deviceMTU'], 1500),
      routeMtu: numberOf(configuration['routeMTU'], 1500),
    };
  }

  /** Creates an endpoint; the request leaves before this returns, the promise ends when it is ready. */
  create(request: object): Promise<Answer> {
    return this.#connection.request('PUT', '/v1/endpoint/0', {
      body: request,
      timeoutMs: createTimeoutMs,
    });
  }

  /** Deletes the endpoint of an attachment. False if the agent knows none. */
  async deleteAttachment(containerId: string, ifname: string): Promise<boolean> {
    const answer = await this.#call('DELETE', attachmentPath(containerId, ifname));
    if (answer.status === 404) return false;
    if (answer.status === 200 || answer.status === 206) return true;
    throw new CniError('internal', `delete endpoint ${containerId}:${ifname}: ${textOf(answer)}`);
  }

  async release(address: string): Promise<void> {
    await this.#call('DELETE', `/v1/ipam/${encodeURIComponent(address)}?pool=default`);
  }

  /** True if the agent knows an endpoint of this attachment. */
  async knows(containerId: string, ifname: string): Promise<boolean> {
    const answer = await this.#call('GET', attachmentPath(containerId, ifname));
    return answer.status === 200;
  }

  /** An endpoint's overall health, or `undefined` if the agent does not know it. */
  async health(containerId: string, ifname: string): Promise<string | undefined> {
    const answer = await this.#call('GET', `${attachmentPath(containerId, ifname)}/healthz`);
    if (answer.status !== 200) return undefined;
    return String(objectOf(answer)['overallHealth']);
  }

  /** The agent's own state: `Ok`, `Warning` or `Failure`, and its words. */
  async status(): Promise<{ readonly state: string; readonly message: string }> {
    const answer = await this.#connection.request('GET', '/v1/healthz', {
      headers: { brief: 'true' },
      timeoutMs: callTimeoutMs,
    });
    if (answer.status !== 200) return { state: 'Failure', message: textOf(answer) };
    const cilium = fieldOf(objectOf(answer), 'cilium');
    return { state: String(cilium['state']), message: String(cilium['msg'] ?? '') };
  }

  /** The attachments (`<container id>:<interface>`) of all endpoints. */
  async attachments(): Promise<readonly string[]> {
    const answer = await this.#call('GET', '/v1/endpoint');
    const list: unknown = answer.status === 200 ? JSON.parse(answer.body) : [];
    if (!Array.isArray(list)) return [];
    return list.flatMap((endpoint: unknown) => {
      if (!isObject(endpoint)) return [];
      const identifiers = fieldOf(fieldOf(endpoint, 'status'), 'external-identifiers');
      const id = identifiers['cni-attachment-id'];
      return typeof id === 'string' && id.includes(':') ? [id] : [];
    });
  }

  #call(method: string, target: string): Promise<Answer> {
    return this.#connection.request(method, target, { timeoutMs: callTimeoutMs });
  }
}

/** What an agent that cannot be reached means for a command that needs it. */
export function agentDown(
  error: unknown,
  code: 'tryAgainLater' | 'pluginNotAvailable' = 'tryAgainLater',
): unknown {
  if (!(error instanceof AgentDownError)) return error;
  const details = `unable to connect to Cilium agent: ${error.message}\nIs the agent running?`;
  return new CniError(code, 'DaemonDown', details, error);
}

/** The error's text in an answer. */
export function textOf({ status, body }: Answer): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === 'string') return value;
    if (isObject(value) && typeof value['message'] === 'string') return value['message'];
  } catch {
    // Not JSON: shown as it is.
  }
  return body.trim() === '' ? `status ${status}` : body.trim().slice(0, 1000);
}

function attachmentPath(containerId: string, ifname: string): string {
  return `/v1/endpoint/cni-attachment-id:${encodeURIComponent(`${containerId}:${ifname}`)}`;
}

function objectOf(answer: Answer): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(answer.body);
  if (isObject(value)) return value;
  throw new CniError('decodingFailure', 'the agent answered with something that is no object');
}

function fieldOf(
  fields: Readonly<Record<string, unknown>>,
  name: string,
): Readonly<Record<string, unknown>> {
  const value = fields[name];
  return isObject(value) ? value : {};
}

function addressOf(
  address: Readonly<Record<string, unknown>>,
  host: Readonly<Record<string, unknown>>,
): PodAddress | undefined {
  const { ip } = address;
  if (typeof ip !== 'string' || ip === '') return undefined;
  if (typeof host['ip'] !== 'string') {
    throw new CniError('decodingFailure', `the agent gave ${ip} without the address of its router`);
  }
  return {
    address: ip,
    router: host['ip'],
    expirationUuid: String(address['expiration-uuid'] ?? ''),
  };
}

function numberOf(value: unknown, absent: number): number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : absent;
}
