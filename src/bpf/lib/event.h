/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "flow.h"
#include "metrics.h"

/*
 * Records for user space. Never waking the reader: a wake-up costs 7 µs, a
 * quarter of a short connection; the reader looks every few milliseconds.
 */

struct event_options {
	__u8 type; /* enum event_type */
	__u8 flags; /* enum event_flags, besides what the flow tells */
	__u8 reason;
	__u8 direction; /* enum metric_direction */
	__u8 trace_point;
	__u8 file;
	__u16 line;
};

static __always_inline void event_fill_verdict(struct flow_event *e,
					       const struct flow *f)
{
	e->cookie[0] = f->verdict[0].cookie;
	e->cookie[1] = f->verdict[1].cookie;
	e->match_type[0] = f->verdict[0].match_type;
	e->match_type[1] = f->verdict[1].match_type;
	if (f->verdict[POLICY_INGRESS].judged)
		e->flags |= EVENT_INGRESS_JUDGED;
	if (f->verdict[POLICY_EGRESS].judged)
		e->flags |= EVENT_EGRESS_JUDGED;
	if (f->verdict[POLICY_INGRESS].denied)
		e->flags |= EVENT_INGRESS_DENIED;
	if (f->verdict[POLICY_EGRESS].denied)
		e->flags |= EVENT_EGRESS_DENIED;
	e->epoch = f->epoch;
}

static __always_inline void event_fill_packet(struct flow_event *e,
					      struct __sk_buff *skb,
					      const struct packet *p)
{
	__u8 side = p->side & 1;
	struct ethhdr *eth = (void *)(long)skb->data;
	bool icmp = p->key.proto == IPPROTO_ICMP ||
		    p->key.proto == IPPROTO_ICMPV6;

	e->saddr = p->key.addr[side];
	e->daddr = p->key.addr[side ^ 1];
	if (icmp) {
		e->sport = (__be16)(p->icmp_type | (__u16)p->icmp_code << 8);
		e->dport = packet_is_echo(p) ? p->key.port[0] | p->key.port[1] :
					       0;
	} else {
		e->sport = p->key.port[side];
		e->dport = p->key.port[side ^ 1];
	}
	e->proto = p->key.proto;
	e->tcp_flags = p->tcp_flags;
	if (p->family == 6)
		e->flags |= EVENT_IPV6;
	e->length = skb->len - ETH_HLEN;
	e->ifindex = skb->ifindex;
	/* Read in place: two calls of a helper for it cost 50 ns. */
	if ((void *)(eth + 1) <= (void *)(long)skb->data_end) {
		__builtin_memcpy(e->dmac, eth->h_dest, ETH_ALEN);
		__builtin_memcpy(e->smac, eth->h_source, ETH_ALEN);
	} else {
		__builtin_memset(e->dmac, 0, ETH_ALEN);
		__builtin_memset(e->smac, 0, ETH_ALEN);
	}
}

__noinline int event_send(struct __sk_buff *skb, const struct packet *p,
			  const struct flow *f, const struct event_options *o)
{
	struct flow_event *e;
	__u8 side;

	if (!p || !f || !o)
		return 0;
	side = p->side & 1;
	e = bpf_ringbuf_reserve(&cilium_events, sizeof(*e), 0);
	if (!e) {
		__u32 zero = 0;
		__u64 *lost = bpf_map_lookup_elem(&cilium_events_lost, &zero);

		if (lost)
			(*lost)++;
		return 0;
	}
	e->time_ns = bpf_ktime_get_ns();
	e->type = o->type;
	e->flags = o->flags;
	e->reason = o->reason;
	e->direction = o->direction;
	e->trace_point = o->trace_point;
	e->file = o->file;
	e->line = o->line;
	event_fill_packet(e, skb, p);
	event_fill_verdict(e, f);
	e->src_identity = f->end[side].peer.identity;
	e->dst_identity = f->end[side ^ 1].peer.identity;
	e->src_endpoint = f->end[side].endpoint_id;
	e->dst_endpoint = f->end[side ^ 1].endpoint_id;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline bool event_wanted(__u32 flags)
{
	struct runtime_config *c = runtime_config();

	return c && c->flags & flags;
}

/* Count a drop, tell of it, and end the packet. */
static __always_inline int event_drop(struct __sk_buff *skb,
				      const struct packet *p,
				      const struct flow *f, int reason,
				      __u8 direction, __u8 file, __u16 line)
{
	struct event_options o = {
		.type = EVENT_DROP,
		.reason = (__u8)-reason,
		.direction = direction,
		.file = file,
		.line = line,
	};

	/* Denied as part of what the other end began. */
	if ((f->verdict[0].judged | f->verdict[1].judged) &&
	    (f->initiator & 1) != (p->side & 1))
		o.flags = EVENT_IS_REPLY;
	metric_count(skb, (__u8)-reason, direction);
	if (event_wanted(RUNTIME_EVENTS_DROP))
		event_send(skb, p, f, &o);
	return TC_ACT_SHOT;
}
