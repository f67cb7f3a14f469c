/**
 * @module
 * Programs on a device: attached again with fewer of them, the others end. An agent whose host
 * firewall was switched off must not leave that of an earlier one behind. Needs root.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { queryClsact } from '../../src/bpf/libbpf/link.ts';
import { Attachments, type Hook } from '../../src/bpf/loader/attachment.ts';
import { MNT_DETACH, mount, unmount } from '../../src/net/libc.ts';
import { withNetns } from '../../src/net/netns.ts';
import { addresses, Fixture, families, host, policy } from './fixture.ts';
import { proto } from './packet.ts';

let fixture: Fixture;
let bpffs: string;
let incoming: Hook;
let outgoing: Hook;
const owner = { kind: 'device', name: 'native' } as const;

beforeAll(() => {
  fixture = new Fixture({ constants: { hostFirewall: 1 } });
  bpffs = mkdtempSync('/tmp/cilium-test-bpffs-');
  mount('bpf', bpffs, 'bpf', 0);
  incoming = { program: fixture.programs.fromNetdev, direction: 'ingress' };
  outgoing = { program: fixture.programs.toNetdev, direction: 'egress' };
});
afterAll(async () => {
  unmount(bpffs, MNT_DETACH);
  rmSync(bpffs, { recursive: true });
  await fixture[Symbol.asyncDispose]();
});

const inNetns = (run: () => undefined): undefined => withNetns(fixture.netns.fd, run);
const filters = () =>
  (['ingress', 'egress'] as const).filter(
    (direction) => queryClsact(fixture.ifindex.native, direction) !== undefined,
  );

describe('attached with and without a host firewall', () => {
  test('as tcx links', () => {
    inNetns(() => {
      const attachments = new Attachments(bpffs, 'tcx', false);
      const names = () => attachments.list(owner).map(({ program }) => program);
      attachments.attach(owner, fixture.ifindex.native, [incoming, outgoing]);
      expect(names().sort()).toEqual(['cil_from_netdev', 'cil_to_netdev']);
      attachments.attach(owner, fixture.ifindex.native, [incoming]);
      expect(names()).toEqual(['cil_from_netdev']);
      attachments.detach(owner, fixture.ifindex.native, ['ingress', 'egress']);
      expect(names()).toEqual([]);
    });
  });

  test('as clsact filters', () => {
    inNetns(() => {
      const attachments = new Attachments(bpffs, 'tc', false);
      attachments.attach(owner, fixture.ifindex.native, [incoming, outgoing]);
      expect(filters()).toEqual(['ingress', 'egress']);
      attachments.attach(owner, fixture.ifindex.native, [incoming]);
      expect(filters()).toEqual(['ingress']);
      attachments.detach(owner, fixture.ifindex.native, ['ingress', 'egress']);
      expect(filters()).toEqual([]);
    });
  });

  test('as links, where filters of an earlier agent are in place', () => {
    inNetns(() => {
      const before = new Attachments(bpffs, 'tc', false);
      before.attach(owner, fixture.ifindex.native, [incoming, outgoing]);
      const attachments = new Attachments(bpffs, 'tcx', true);
      attachments.attach(owner, fixture.ifindex.native, [incoming]);
      expect(filters()).toEqual([]);
      expect(attachments.list(owner)).toHaveLength(1);
      attachments.detach(owner, fixture.ifindex.native, ['ingress', 'egress']);
    });
  });
});

describe('what the node really sends', () => {
  for (const mode of ['tcx', 'tc'] as const) {
    test(`is judged, attached by ${mode}`, async () => {
      await fixture.reset();
      fixture.config.hostPolicyId = host.policyId;
      await fixture.setPolicies(new Map([[host.policyId, policy('egress')]]));
      inNetns(() => {
        const attachments = new Attachments(bpffs, mode, false);
        attachments.attach(owner, fixture.ifindex.native, [incoming, outgoing]);
        // Bash opens its sockets in the namespace that its parent is in at the time.
        for (const family of families) {
          Bun.spawnSync(['bash', '-c', `echo question > /dev/udp/${addresses[family].router}/53`]);
        }
        attachments.detach(owner, fixture.ifindex.native, ['ingress', 'egress']);
      });
      const dropped = fixture.drain().filter(({ proto: each }) => each === proto.udp);
      expect(dropped).toMatchObject(
        families.map((family) => ({
          ...{ type: 'DROP', reason: 'DROP_POLICY', dport: 53 },
          ...{ from: addresses[family].node, to: addresses[family].router },
          ...{ flags: ['EGRESS_JUDGED', 'EGRESS_DENIED'], direction: 2, file: 1 },
        })),
      );
    });
  }
});
