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
 * Without it nobody finds the node, whatever its policy says. ARP is no IP and
 * does not come by here.
 */
static __always_inline bool host_needs(struct __sk_buff *skb,
				       const struct packet *p)
{
	return nd_is_valid(skb, p) || mld_is_valid(skb, p);
}

/*
 * Whether the node's policy denies anything that goes that way: 1 with the
 * verdict of the default deny, 0, or a negative drop reason while it is not
 * known.
 */
static __always_inline int host_enforces(const struct flow_end *host,
					 struct verdict *v, bool egress,
					 __u32 epoch)
{
	__u32 slot = policy_slot(host, epoch);
	struct policy_config *config;

	config = bpf_map_lookup_elem(&cilium_policy_config, &slot);
	if (!config || !(config->flags & POLICY_VALID))
		return -DROP_EP_NOT_READY;
	if (!(config->flags & policy_direction_flags(egress).enforce))
		return 0;
	v->judged = 1;
	v->denied = 1;
	v->cookie = config->deny_cookie[egress];
	return 1;
}

/*
 * Of what cannot be read nobody can say whether policy allows it. The node's is
 * dropped where its policy enforces that direction, however much it allows.
 */
__noinline int host_judge_unread(struct __sk_buff *skb, const struct packet *p,
				 struct flow *f, const struct hook *h,
				 int reason)
{
	bool egress;
	int ret;

	if (!p || !f || !h)
		return reason;
	egress = h->direction == METRIC_EGRESS;
	ret = flow_resolve_ends(skb, f, p, h);
	if (ret)
		return ret;
	f->initiator = p->side & 1;
	ret = host_enforces(&f->end[h->own & 1], &f->verdict[egress], egress,
			    f->epoch);
	if (ret <= 0)
		return ret;
	if (!(f->end[h->own & 1].flags & FLOW_END_AUDIT))
		return reason;
	connection_event(skb, p, f, h, EVENT_NEW, 0, RUNTIME_EVENTS_VERDICT);
	return 0;
}

/* As connection_track(): 0, a negative drop reason, or CONNECTION_NOT_OURS. */
static __always_inline int host_track(struct __sk_buff *skb, struct packet *p,
				      struct flow *f, struct hook *h)
{
	struct runtime_config *config = runtime_config();
	struct delivery d = {};
	int ret = 0;

	if (!config)
		return -DROP_NO_CONFIG;
	/* Again, for the reason; a first fragment may have come meanwhile. */
	if (p->kind == PACKET_SLOW)
		ret = packet_parse_slow(skb, p, ETH_HLEN);
	h->own = host_side(p, h->direction);
	if (p->kind == PACKET_ICMP_ERROR) {
		ret = connection_related(skb, p, f, h, &d);
		/* What it quotes: cut short, or changed on the way. */
		if (ret != -DROP_CT_INVALID_HDR && ret != -DROP_INVALID)
			return ret;
	} else if (p->kind != PACKET_SLOW) {
		return connection_track(skb, p, f, h, &d);
	}
	f->epoch = config->epoch;
	return host_judge_unread(skb, p, f, h, ret);
}

/* A packet from or to the node, or neither; then it is nothing to us. */
__noinline int host_judge(struct __sk_buff *skb, struct packet *p,
			  __u32 direction)
{
	struct flow f = {};
	struct hook h = {
		.own_kind = LEG_HOST,
		.file = FILE_BPF_HOST,
		.direction = direction,
	};
	int ret;

	if (!p)
		return TC_ACT_SHOT;
	if (host_needs(skb, p))
		return TC_ACT_OK;
	ret = host_track(skb, p, &f, &h);
	if (ret == CONNECTION_NOT_OURS)
		return TC_ACT_OK;
	if (ret)
		return event_drop(skb, p, &f, ret, direction, FILE_BPF_HOST,
				  __LINE__);
	metric_count(skb, 0, direction);
	return TC_ACT_OK;
}
