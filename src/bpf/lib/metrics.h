/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "maps.h"

/* Count a packet; reason 0 is "forwarded". Per CPU, so plain additions do. */
static __always_inline void metric_count(const struct __sk_buff *skb,
					 __u8 reason, __u8 direction)
{
	__u32 index = (__u32)reason * 4 + direction;
	struct metric *m = bpf_map_lookup_elem(&cilium_metrics, &index);

	if (m) {
		m->packets++;
		m->bytes += skb->len;
	}
}
