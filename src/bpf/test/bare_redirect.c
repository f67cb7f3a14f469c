/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a packet between two pods costs at the least: the yardstick of test/bench. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

const volatile __u32 config_peer_ifindex = 0;

SEC("tc")
int bare_redirect(struct __sk_buff *skb)
{
	return bpf_redirect_peer(config_peer_ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
