import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { FlowFilter } from '../../src/api/gen/flow/flow.ts';
import { HealthClient } from '../../src/api/gen/grpc/health/v1/health.ts';
import {
  ServerReflectionClient,
  type ServerReflectionResponse,
} from '../../src/api/gen/grpc/reflection/v1/reflection.ts';
import {
  GetAgentEventsRequest,
  type GetAgentEventsResponse,
  GetFlowsRequest,
  type GetFlowsResponse,
  ObserverClient,
} from '../../src/api/gen/observer/observer.ts';
import { type ChangeNotification, PeerClient } from '../../src/api/gen/peer/peer.ts';
import { agentEventOf } from '../../src/hubble/agent-notice.ts';
import { Observer } from '../../src/hubble/observer/observer.ts';
import {
  type EventFields,
  encodeEvent,
  smallWorld,
} from '../../src/hubble/parser/event-fixture.ts';
import { HubbleServer } from '../../src/hubble/server/hubble-server.ts';
import { checkListenAddress, HubbleServerError } from '../../src/hubble/server/listen-address.ts';

const dir = mkdtempSync(join(tmpdir(), 'hubble-'));
const socketPath = join(dir, 'hubble.sock');
const observer = new Observer(smallWorld(), {
  nodeName: 'node-1',
  clusterName: 'default',
  capacity: 255,
  version: 'cilium v0.1.0',
});
let server: HubbleServer;
let client: ObserverClient;

function feed(changes: Partial<EventFields> = {}): void {
  const bytes = encodeEvent(changes);
  observer.parser.record(new Uint32Array(bytes.buffer), 0, bytes.length);
  observer.settle();
}

function collect(request: Partial<GetFlowsRequest>): Promise<GetFlowsResponse[]> {
  const { promise, resolve, reject } = Promise.withResolvers<GetFlowsResponse[]>();
  const responses: GetFlowsResponse[] = [];
  const stream = client.getFlows(GetFlowsRequest.fromPartial(request));
  stream.on('data', (response: GetFlowsResponse) => responses.push(response));
  stream.on('error', reject);
  stream.on('end', () => resolve(responses));
  return promise;
}

const failure = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => {
      throw new Error('it succeeded');
    },
    (error: ServiceError) => error,
  );

beforeAll(async () => {
  observer.parser.setClock({ seconds: Math.floor(Date.now() / 1000) - 5, nanos: 0 });
  server = await HubbleServer.start(observer, { socketPath, listenAddress: '127.0.0.1:0' });
  client = new ObserverClient(`unix:${socketPath}`, credentials.createInsecure());
  feed();
  feed({ type: 4, reason: 133, flags: 1 | 2 | 64, ingressCookie: 502 });
});

afterAll(() => {
  client.close();
  server.stop();
  rmSync(dir, { recursive: true });
});

describe('Hubble server over a unix socket', () => {
  test('the socket is the group’s', () => {
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
    expect(server.port).toBeGreaterThan(0);
  });

  test('flows, newest last, with envelope', async () => {
    const all = await collect({});
    expect(all.length).toBe(6);
    expect(all[0]?.node_name).toBe('node-1');
    expect(all[0]?.time).toEqual(all[0]?.flow?.time);
    const last = await collect({ number: 2n });
    expect(last.map((one) => one.flow?.uuid)).toEqual(all.slice(4).map((one) => one.flow?.uuid));
    const first = await collect({ number: 2n, first: true });
    expect(first.map((one) => one.flow?.uuid)).toEqual(
      all.slice(0, 2).map((one) => one.flow?.uuid),
    );
  });

  test('filters and field masks', async () => {
    const whitelist = [FlowFilter.fromPartial({ verdict: [2], source_pod: ['shop/cli'] })];
    const dropped = await collect({
      whitelist,
      field_mask: ['source.identity', 'verdict', 'time'],
    });
    expect(dropped.length).toBe(2);
    expect(dropped[0]?.flow?.source).toMatchObject({ identity: 1001, pod_name: '' });
    expect(dropped[0]?.flow?.destination).toBeUndefined();
  });

  test('what cannot be answered is INVALID_ARGUMENT', async () => {
    const cel = FlowFilter.fromPartial({ experimental: { cel_expression: ['true'] } });
    expect((await failure(collect({ whitelist: [cel] }))).code).toBe(3);
    expect((await failure(collect({ first: true, follow: true }))).code).toBe(3);
    expect((await failure(collect({ field_mask: ['nonsense'] }))).code).toBe(3);
  });

  test('a follower gets what comes, until it leaves', async () => {
    const stream = client.getFlows(GetFlowsRequest.fromPartial({ follow: true }));
    const { promise, resolve } = Promise.withResolvers<GetFlowsResponse>();
    const version = Promise.withResolvers<unknown>();
    stream.on('metadata', (metadata) => version.resolve(metadata.get('hubble-server-version')[0]));
    stream.on('data', resolve);
    stream.on('error', () => {});
    expect(await version.promise).toBe('0.1.0');
    feed({ type: 2, flags: 0, tcpFlags: 0x12 });
    expect((await promise).flow?.Summary).toBe('TCP Flags: SYN, ACK');
    stream.cancel();
    while (observer.followers > 0) await Bun.sleep(1);
  });

  test('status, namespaces, nodes', async () => {
    const status = Promise.withResolvers<string>();
    client.serverStatus({}, (error, answer) =>
      status.resolve(error?.message ?? `${answer?.max_flows} ${answer?.version}`),
    );
    expect(await status.promise).toBe('255 cilium v0.1.0');
    const names = Promise.withResolvers<unknown>();
    client.getNamespaces({}, (error, answer) => names.resolve(error ?? answer?.namespaces));
    expect(await names.promise).toEqual([{ cluster: '', namespace: 'shop' }]);
    const nodes = Promise.withResolvers<number | undefined>();
    client.getNodes({}, (error) => nodes.resolve(error?.code));
    expect(await nodes.promise).toBe(12);
  });

  test('agent events', async () => {
    const time = { seconds: 1_795_462_000, nanos: 5_000_000 };
    const notice = {
      type: 'policy-updated',
      labels: ['k8s:a=b'],
      revision: 4,
      ruleCount: 1,
    } as const;
    observer.addAgentEvent(agentEventOf(notice, time), time);
    const { promise, resolve } = Promise.withResolvers<GetAgentEventsResponse>();
    client.getAgentEvents(GetAgentEventsRequest.fromPartial({ number: 1n })).on('data', resolve);
    const event = (await promise).agent_event;
    expect(event?.type).toBe(3);
    expect(event?.policy_update).toEqual({ labels: ['k8s:a=b'], revision: 4n, rule_count: 1n });
  });

  test('health and reflection, for probes and grpcurl', async () => {
    const health = new HealthClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const states = await Promise.all(
      ['', 'hubble.server.Observer', 'nobody'].map((service) => {
        const { promise, resolve } = Promise.withResolvers<number | undefined>();
        health.check({ service }, (error, answer) => resolve(error ? -error.code : answer?.status));
        return promise;
      }),
    );
    expect(states).toEqual([1, 1, -5]);
    health.close();
    const reflection = new ServerReflectionClient(
      `unix:${socketPath}`,
      credentials.createInsecure(),
    );
    const ask = (request: object): Promise<ServerReflectionResponse> => {
      const { promise, resolve } = Promise.withResolvers<ServerReflectionResponse>();
      const stream = reflection.serverReflectionInfo();
      stream.on('data', resolve);
      stream.write({ host: '', ...request });
      stream.end();
      return promise;
    };
    const list = await ask({ list_services: '*' });
    expect(list.list_services_response?.service.map((one) => one.name)).toContain(
      'observer.Observer',
    );
    const found = await ask({ file_containing_symbol: 'observer.Observer.GetFlows' });
    const names = found.file_descriptor_response?.file_descriptor_proto.map(
      (bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name,
    );
    expect(names).toContain('flow/flow.proto');
    expect(names).toContain('google/protobuf/timestamp.proto');
    const missing = await ask({ file_containing_symbol: 'no.Such' });
    expect(missing.error_response?.error_code).toBe(5);
    reflection.close();
  });

  test('peers: the node itself', async () => {
    const peers = new PeerClient(`unix:${socketPath}`, credentials.createInsecure());
    const { promise, resolve } = Promise.withResolvers<ChangeNotification>();
    const stream = peers.notify({});
    stream.on('data', resolve);
    stream.on('error', () => {});
    expect(await promise).toMatchObject({ name: 'node-1', type: 1 });
    stream.cancel();
    peers.close();
  });

  test('a socket in use is refused, a dead one replaced, another file left alone', async () => {
    expect(HubbleServer.start(observer, { socketPath })).rejects.toThrow(HubbleServerError);
    const stale = join(dir, 'stale.sock');
    const holder = createServer().listen(stale);
    await new Promise<void>((resolve) => holder.once('listening', () => resolve()));
    // Leave the file behind, as a killed process does.
    renameSync(stale, `${stale}.kept`);
    await new Promise<void>((resolve) => holder.close(() => resolve()));
    renameSync(`${stale}.kept`, stale);
    const second = await HubbleServer.start(observer, { socketPath: stale });
    second.stop();
    const file = join(dir, 'file');
    writeFileSync(file, '');
    expect(HubbleServer.start(observer, { socketPath: file })).rejects.toThrow('not a socket');
  });

  test('TCP is plaintext, and only when told so', () => {
    expect(checkListenAddress('', false)).toBeUndefined();
    expect(checkListenAddress(':4244', true)).toBe('0.0.0.0:4244');
    expect(() => checkListenAddress(':4244', false)).toThrow('TLS is not supported yet');
  });
});
