import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { VerifierError, verifierReason } from './verifier-error.ts';

const log = `func#0 @0
0: R1=ctx() R10=fp0
; void *data = (void *)(long)skb->data; @ bpf_lxc.c:12
0: (61) r1 = *(u32 *)(r1 +76)         ; R1_w=pkt(r=0)
; return *(__u8 *)data; @ bpf_lxc.c:13
1: (71) r0 = *(u8 *)(r1 +0)
invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)
R1 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0
`;

test('one line: the last reason and the source line', () => {
  const error = new VerifierError({ call: 'BPF_PROG_LOAD', errno: 13, doing: 'load x' }, log);
  expect(error.message).toBe(
    'load x: EACCES (R1 offset is outside of the packet, at: return *(__u8 *)data; @ bpf_lxc.c:13)',
  );
  expect(error.log).toBe(log);
  expect(error.name).toBe('VerifierError');
});

test('a log without a reason says so', () => {
  expect(verifierReason('')).toBe('no reason given');
  expect(verifierReason('processed 2 insns\n')).toBe('no reason given');
});

test('any log gives one line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(verifierReason(text)).not.toContain('\n');
    }),
  );
});
