/**
 * @module The agent is replaced by a build whose programs differ, and by the first one again, under
 * the same load and with the same guarantees as a restart.
 */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfLink } from '../../src/bpf/libbpf/link.ts';
import { linksFolder } from '../../src/bpf/loader/bpffs.ts';
import { executable, root, TestNode } from './harness.ts';
import { survivalPods, underLoad } from './survival.ts';
import { buildVariant } from './variant.ts';

const rounds = 4;

test('upgrade and downgrade lose nothing', async () => {
  const entry = 'int cil_from_container(struct __sk_buff *skb)\n{\n\tstruct packet p;\n';
  const changed = await buildVariant('other-programs', [
    {
      file: 'src/bpf/prog/bpf_lxc.c',
      from: entry,
      // The verifier and the compiler keep it: other instructions, the same behaviour.
      to: `${entry}\tvolatile __u32 other_build = 1;\n\n\tif (!other_build)\n\t\treturn TC_ACT_SHOT;\n`,
    },
  ]);
  const objectOf = (build: string) => readFileSync(join(build, '../bpf/bpf_lxc.o'));
  expect(objectOf(changed).equals(objectOf(join(root, 'dist/cilium')))).toBe(false);

  await using node = await TestNode.create();
  const pods = await survivalPods(node);
  const [{ id }] = (await node.rest('GET', '/endpoint')).json;
  const programId = () => {
    const folder = linksFolder(node.bpfRoot, { kind: 'endpoint', id });
    using link = BpfLink.openPinned(join(folder, 'cil_from_container'));
    return link.query().programId;
  };
  const load = await underLoad(node, pods);
  const seen = new Set([programId()]);
  for (let round = 0; round < rounds; round++) {
    for (const build of [changed, executable]) {
      await node.stopAgent(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
      await node.startAgent({ executable: build });
      expect(seen.has(programId())).toBe(false);
      seen.add(programId());
    }
  }
  console.log(JSON.stringify(await load.finish()));
  expect((await node.health()).state).toBe('Ok');
}, 110_000);
