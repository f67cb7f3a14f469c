/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "ends.h"
#include "event.h"
#include "nat.h"

/*
 * What every hook does with a packet that its inline path did not settle:
 * find or make the conntrack entry, ask policy when the entry is new or older
 * than the current epoch, tell of it.
 */

static __always_inline void flow_from_entry(struct flow *f,
					    const struct ct_entry *e)
{
	for (int i = 0; i < 2; i++) {
		f->end[i].peer.identity = e->identity[i];
		f->end[i].endpoint_id = e->leg[i].endpoint_id;
		f->end[i].kind = e->leg[i].kind;
		f->end[i].ifindex = e->leg[i].ifindex;
		f->verdict[i].cookie = e->cookie[i];
		f->verdict[i].judged = 0;
		f->verdict[i].denied = 0;
	}
}

/*
 * Where a packet is on its way to. A new connection to the outside is not
 * translated yet when it is told of: that it will be, the configuration says.
 */
static __always_inline __u8 trace_point(const struct flow_end *to,
					const struct packet *p,
					const struct hook *h)
{
	bool translates = p->family == 4 ? config_masquerade_ipv4 :
					   config_masquerade_ipv6;

	switch (to->kind) {
	case LEG_POD:
		return TRACE_TO_LXC;
	case LEG_HOST:
		return TRACE_TO_HOST;
	case LEG_WORLD:
		return TRACE_TO_NETWORK;
	default:
		if (h->own_kind == LEG_HOST || (h->from_pod && translates))
			return TRACE_TO_NETWORK;
		return TRACE_TO_STACK;
	}
}

/* A leg is still what it was; translation keeps its own idea of "outside". */
static __always_inline bool leg_matches(const struct ct_leg *leg,
					const struct flow_end *end)
{
	if (leg->kind == LEG_WORLD)
		return end->kind == LEG_STACK;
	return leg->kind == end->kind && leg->ifindex == end->ifindex;
}

static __always_inline void connection_event(struct __sk_buff *skb,
					     const struct packet *p,
					     const struct flow *f,
					     const struct hook *h, __u8 type,
					     __u8 flags, __u32 wanted)
{
	struct event_options o = {
		.type = type,
		.flags = flags,
		.trace_point = trace_point(&f->end[(p->side & 1) ^ 1], p, h),
		.direction = h->direction,
		.file = h->file,
	};

	if (event_wanted(wanted))
		event_send(skb, p, f, &o);
}

/* An allowed packet of a connection that exists: state, and its milestones. */
static __always_inline void
connection_continue(struct __sk_buff *skb, const struct packet *p,
		    const struct flow *f, const struct hook *h,
		    struct ct_entry *e, __u32 now, __u8 flags)
{
	__u8 side = p->side & 1;
	__u8 initiator = e->flags & CT_INITIATOR;
	__u8 reply = side != initiator ? EVENT_IS_REPLY : 0;
	__u8 closing = p->tcp_flags & (TCP_FIN | TCP_RST) &
		       ~e->leg[side].tcp_flags;

	e->last_seen = now;
	ct_note_tcp(e, p);
	if (reply && !(e->flags & CT_SEEN_REPLY)) {
		e->flags |= CT_SEEN_REPLY;
		connection_event(skb, p, f, h, EVENT_REPLY, flags | reply,
				 RUNTIME_EVENTS_TRACE);
	} else if (closing) {
		connection_event(skb, p, f, h, EVENT_CLOSE, flags | reply,
				 RUNTIME_EVENTS_TRACE);
	} else if (flags & EVENT_REEVALUATED) {
		connection_event(skb, p, f, h, EVENT_NEW, flags | reply,
				 RUNTIME_EVENTS_VERDICT);
	}
}

static __always_inline int connection_new(struct __sk_buff *skb,
					  const struct packet *p,
					  struct flow *f, const struct hook *h,
					  struct delivery *d, __u32 now)
{
	__u8 side = p->side & 1;
	/*
	 * What is translated back without an entry was asked for by the pod;
	 * but a SYN asks.
	 */
	bool answers = h->file == FILE_BPF_HOST && h->own_kind == LEG_POD &&
		       (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
	__u8 initiator = answers ? h->own & 1 : side;
	struct ct_entry e = {
		.last_seen = now,
		.created = now,
		.flags = initiator,
	};
	int ret;

	ret = flow_judge(f, p, initiator);
	if (ret)
		return ret;
	ct_apply(&e, f);
	ct_note_tcp(&e, p);
	if (bpf_map_update_elem(&cilium_ct_global, &p->key, &e, BPF_ANY))
		return -DROP_CT_CREATE_FAILED;
	d->kind = f->end[side ^ 1].kind;
	d->ifindex = f->end[side ^ 1].ifindex;
	d->is_new = 1;
	connection_event(skb, p, f, h, EVENT_NEW, 0,
			 RUNTIME_EVENTS_TRACE | RUNTIME_EVENTS_VERDICT);
	return 0;
}

static __always_inline void delivery_set(struct delivery *d,
					 const struct ct_entry *e, __u8 to)
{
	d->kind = e->leg[to & 1].kind;
	d->ifindex = e->leg[to & 1].ifindex;
	d->nat_port = e->nat_port;
}

/* Returns 0 with *d set, a negative drop reason, or CONNECTION_NOT_OURS. */
__noinline int connection_track(struct __sk_buff *skb, const struct packet *p,
				struct flow *f, const struct hook *h,
				struct delivery *d)
{
	struct runtime_config *config = runtime_config();
	__u32 now = bpf_jiffies64();
	struct ct_entry *e, judged;
	__u8 side, own;
	int ret;

	if (!config || !p || !f || !h || !d)
		return -DROP_NO_CONFIG;
	side = p->side & 1;
	own = h->own & 1;
	f->epoch = config->epoch;
	e = bpf_map_lookup_elem(&cilium_ct_global, &p->key);
	if (e && (ct_reopens(e, p) || ct_icmp_opposes(e, p) ||
		  ct_expired(e, p->key.proto, now) ||
		  e->leg[own].ifindex != h->ifindex ||
		  e->leg[own].kind != h->own_kind ||
		  (!h->from_pod && e->leg[own ^ 1].kind == LEG_POD)))
		e = NULL;
	if (e && e->epoch == f->epoch) {
		flow_from_entry(f, e);
		connection_continue(skb, p, f, h, e, now, 0);
		delivery_set(d, e, side ^ 1);
		return 0;
	}

	ret = flow_resolve_ends(skb, f, p, h);
	if (ret)
		return ret;
	if (e && leg_matches(&e->leg[0], &f->end[0]) &&
	    leg_matches(&e->leg[1], &f->end[1])) {
		/* Denied, it keeps its old epoch and is asked again. */
		judged = *e;
		ret = flow_judge(f, p, judged.flags & CT_INITIATOR);
		if (ret)
			return ret;
		ct_apply(&judged, f);
		if (bpf_map_update_elem(&cilium_ct_global, &p->key, &judged,
					BPF_ANY))
			return -DROP_CT_CREATE_FAILED;
		e = bpf_map_lookup_elem(&cilium_ct_global, &p->key);
		if (!e)
			return -DROP_CT_CREATE_FAILED;
		connection_continue(skb, p, f, h, e, now, EVENT_REEVALUATED);
		delivery_set(d, &judged, side ^ 1);
		return 0;
	}
	return connection_new(skb, p, f, h, d, now);
}

/* The error goes to whoever sent the quoted packet. */
__noinline int packet_answers(const struct packet *p,
			      const struct packet *quoted)
{
	if (!p || !quoted)
		return 0;
	return addr_equal(&quoted->key.addr[quoted->side & 1],
			  &p->key.addr[(p->side & 1) ^ 1]);
}

/* Path MTU discovery has to go on, through every change of policy. */
static __always_inline bool passes_anyway(const struct packet *p)
{
	return config_allow_frag_needed && packet_is_frag_needed(p);
}

/*
 * Judged like any packet, unless it passes anyway, and never sent out under the
 * pod's own address. What is only audited is told of.
 */
static __always_inline int
related_to_nothing(struct __sk_buff *skb, const struct packet *p,
		   struct flow *f, const struct hook *h, struct delivery *d)
{
	struct flow_end *to = &f->end[(p->side & 1) ^ 1];
	bool translates = p->family == 4 ? config_masquerade_ipv4 :
					   config_masquerade_ipv6;
	int ret = 0;

	if (!passes_anyway(p))
		ret = flow_judge(f, p, p->side);
	else if (to->kind == LEG_NONE)
		ret = -DROP_UNROUTABLE;
	if (ret)
		return ret;
	if (h->from_pod && translates && to->kind == LEG_STACK)
		return -DROP_NAT_NO_MAPPING;
	if (f->verdict[POLICY_INGRESS].denied ||
	    f->verdict[POLICY_EGRESS].denied)
		connection_event(skb, p, f, h, EVENT_NEW, 0,
				 RUNTIME_EVENTS_VERDICT);
	d->kind = to->kind;
	d->ifindex = to->ifindex;
	return 0;
}

/* In place of a drop reason: the connection's ends are not what they were. */
#define RELATED_GONE 1

/*
 * A connection that was judged before the last change, as its own next packet
 * would be; but nothing is noted. *f is of that connection afterwards: the
 * stack has no room for two. Its initiator is told as 0 if that sent the quoted
 * packet, and 1 if not. Returns 0, a negative drop reason, or RELATED_GONE.
 */
__noinline int related_judge(struct flow *f, const struct packet *quoted,
			     const struct ct_entry *e)
{
	int ret;

	if (!f || !quoted || !e)
		return -DROP_INVALID;
	flow_resolve(&f->end[0], &quoted->key.addr[0], f->epoch);
	flow_resolve(&f->end[1], &quoted->key.addr[1], f->epoch);
	if (!leg_matches(&e->leg[0], &f->end[0]) ||
	    !leg_matches(&e->leg[1], &f->end[1]))
		return RELATED_GONE;
	ret = flow_judge(f, quoted, e->flags & CT_INITIATOR);
	f->initiator ^= quoted->side & 1;
	return ret;
}

/* The initiator by the sides of an error, which is for the quoted sender. */
static __always_inline void related_turn(struct flow *f, const struct packet *p)
{
	f->initiator = (p->side ^ f->initiator ^ 1) & 1;
}

/* *f is of the packet itself again. A function, for the stack of its caller. */
__noinline int related_return(struct __sk_buff *skb, struct flow *f,
			      const struct packet *p, const struct hook *h)
{
	if (!f || !p || !h)
		return -DROP_INVALID;
	related_turn(f, p);
	return flow_resolve_ends(skb, f, p, h);
}

/*
 * An ICMP error belongs to the connection that it quotes, and goes to whoever
 * sent the quoted packet. Without one it is judged like any packet.
 */
__noinline int connection_related(struct __sk_buff *skb, const struct packet *p,
				  struct flow *f, const struct hook *h,
				  struct delivery *d)
{
	struct runtime_config *config = runtime_config();
	__u32 now = bpf_jiffies64();
	struct packet quoted = {};
	struct ct_entry *e;
	__u8 to;
	int ret;

	if (!config || !p || !f || !h || !d)
		return -DROP_NO_CONFIG;
	f->epoch = config->epoch;
	ret = flow_resolve_ends(skb, f, p, h);
	if (ret)
		return ret;
	if (packet_parse_slow(skb, &quoted, (__u32)p->l4_off + 8) &&
	    quoted.kind != PACKET_OTHER)
		return -DROP_CT_INVALID_HDR;
	to = quoted.side & 1;
	if (!packet_answers(p, &quoted))
		return -DROP_INVALID;
	e = bpf_map_lookup_elem(&cilium_ct_global, &quoted.key);
	if (!e || ct_expired(e, quoted.key.proto, now))
		return related_to_nothing(skb, p, f, h, d);
	if (e->epoch != f->epoch) {
		ret = 0;
		if (!passes_anyway(p)) {
			ret = related_judge(f, &quoted, e);
			related_return(skb, f, p, h);
		} else if (!leg_matches(&e->leg[to],
					&f->end[(p->side & 1) ^ 1])) {
			/* The address is somebody else's by now. */
			ret = RELATED_GONE;
		}
		if (ret == RELATED_GONE)
			return related_to_nothing(skb, p, f, h, d);
		if (ret)
			return ret;
	}
	/* The pod must be one end of it; the node is also others' router. */
	if (h->own_kind == LEG_POD && e->leg[0].ifindex != h->ifindex &&
	    e->leg[1].ifindex != h->ifindex)
		return -DROP_INVALID;
	delivery_set(d, e, to);
	/* The quoted packet would need translating back as well. */
	if (d->kind == LEG_WORLD)
		return -DROP_NAT_NO_MAPPING;
	return 0;
}
