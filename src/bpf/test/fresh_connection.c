// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * For test/bench/program.ts: makes every run a connection of its own before it
 * hands the packet to the real program. Its own cost is measured with
 * bare_redirect behind it.
 */

#include "bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} fresh_next SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} fresh_count SEC(".maps");

/* Both ports from one counter: 2^32 connections before one comes again. */
SEC("tc")
int fresh_connection(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u32 *count = bpf_map_lookup_elem(&fresh_count, &zero);
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u32 off = ETH_HLEN + sizeof(struct iphdr);
	struct ethhdr *eth = data;

	if (!count || (void *)(eth + 1) > end)
		return TC_ACT_SHOT;
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		off = ETH_HLEN + sizeof(struct ipv6hdr);
	if (data + off + 4 > end)
		return TC_ACT_SHOT;
	*(__u32 *)(data + off) = ++*count;
	bpf_tail_call(skb, &fresh_next, 0);
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
