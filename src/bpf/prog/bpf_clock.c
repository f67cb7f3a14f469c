// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Both clocks of the kernel at one instant: user space derives HZ from them,
 * before it can say how long conntrack entries live. Needs no map.
 */

#include "bpf.h"

struct clock {
	__u64 jiffies;
	__u64 ktime_ns;
};

SEC("syscall")
int cil_clock(struct clock *ctx)
{
	ctx->jiffies = bpf_jiffies64();
	ctx->ktime_ns = bpf_ktime_get_ns();
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
