/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "connection.h"

/*
 * The host firewall: this node's own traffic on a native device, judged by the
 * node's own policy as a pod's is by its. Its connections are in conntrack like
 * any other, with the node as one end. Traffic between the node and its pods
 * does not come by here: flow_judge() asks the node's policy where it passes.
 */

/* The side that is the node, if any is. */
static __always_inline __u8 host_side(const struct packet *p, __u32 direction)
{
	__u8 side = p->side & 1;

	return direction == METRIC_EGRESS ? side : side ^ 1;
}

/*
 * A packet from or to the node, or neither; then it is nothing to us. Neighbour
 * discovery and multicast are not asked about.
 */
__noinline int host_judge(struct __sk_buff *skb, const struct packet *p,
			  __u32 direction)
{
	struct flow f = {};
	struct delivery d = {};
	struct hook h = {
		.own_kind = LEG_HOST,
		.file = FILE_BPF_HOST,
		.direction = direction,
	};
	int ret;

	if (!p)
		return TC_ACT_SHOT;
	if (p->kind == PACKET_ND ||
	    addr_is_multicast(&p->key.addr[(p->side & 1) ^ 1], p->family))
		return TC_ACT_OK;
	h.own = host_side(p, direction);
	if (p->kind == PACKET_ICMP_ERROR)
		ret = connection_related(skb, p, &f, &h, &d);
	else
		ret = connection_track(skb, p, &f, &h, &d);
	if (ret == CONNECTION_NOT_OURS)
		return TC_ACT_OK;
	if (ret)
		return event_drop(skb, p, &f, ret, direction, FILE_BPF_HOST,
				  __LINE__);
	metric_count(skb, 0, direction);
	return TC_ACT_OK;
}

/* What cannot be judged is dropped when it is the node's, as a pod's is. */
__noinline int host_unreadable(struct __sk_buff *skb, const struct packet *p,
			       int reason, __u32 direction)
{
	struct runtime_config *config = runtime_config();
	struct flow f = {};

	if (!config_host_firewall)
		return TC_ACT_OK;
	if (!p || !config)
		return TC_ACT_SHOT;
	if (addr_is_multicast(&p->key.addr[(p->side & 1) ^ 1], p->family))
		return TC_ACT_OK;
	f.epoch = config->epoch;
	flow_resolve(&f.end[0], &p->key.addr[0], f.epoch);
	flow_resolve(&f.end[1], &p->key.addr[1], f.epoch);
	if (f.end[host_side(p, direction)].kind != LEG_HOST)
		return TC_ACT_OK;
	return event_drop(skb, p, &f, reason, direction, FILE_BPF_HOST,
			  __LINE__);
}
