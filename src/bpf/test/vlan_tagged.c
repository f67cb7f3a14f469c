// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * For test/bpf: gives a frame a VLAN tag where the kernel keeps it on the way
 * in, beside the frame and not in it, before it hands it to the real program.
 */

#include "bpf.h"

#define VLAN_ID 5
/* A priority and no VLAN. */
#define PRIORITY_TAG (3 << 13)

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} vlan_next SEC(".maps");

SEC("tc")
int vlan_tagged(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), VLAN_ID))
		return TC_ACT_SHOT;
	bpf_tail_call(skb, &vlan_next, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int priority_tagged(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), PRIORITY_TAG))
		return TC_ACT_SHOT;
	bpf_tail_call(skb, &vlan_next, 0);
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
