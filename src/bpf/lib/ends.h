/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "config.h"
#include "flow.h"

/*
 * Who the two ends of a packet are, at the hook that sees it: the addresses say
 * who they would be, the hook whether that can be.
 */

struct hook {
	__u32 ifindex; /* of the pod; 0 for the node */
	__u8 own; /* the side that the pod is, or the node */
	__u8 own_kind; /* LEG_POD, or LEG_HOST for the node's own traffic */
	__u8 from_pod;
	__u8 file; /* enum source_file */
	__u8 direction; /* enum metric_direction */
};

/* In place of a drop reason: nothing here is the node's, so it is not judged. */
#define CONNECTION_NOT_OURS 1

/*
 * Whether the stack takes in here what is for none of the node's addresses: for
 * a group, for all on the link, or for what its routes deliver here (a subnet's
 * broadcast or anycast address, an address that is not in the ipcache yet).
 */
__noinline int stack_takes_in(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup fib = {};
	const union addr *from, *to;
	long ret;

	if (!p)
		return 1;
	from = &p->key.addr[p->side & 1];
	to = &p->key.addr[(p->side & 1) ^ 1];
	if (addr_is_multicast(to, p->family) ||
	    addr_is_unspecified(to, p->family))
		return 1;
	fib.l4_protocol = p->key.proto;
	fib.ifindex = skb->ifindex;
	if (p->family == 4) {
		fib.family = AF_INET;
		fib.ipv4_src = from->w[3];
		fib.ipv4_dst = to->w[3];
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, from, 16);
		__builtin_memcpy(fib.ipv6_dst, to, 16);
	}
	ret = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return ret < 0 || ret == BPF_FIB_LKUP_RET_NOT_FWDED ||
	       ret == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/*
 * Whether it is the stack that looks where a packet goes that is for none of
 * the node's addresses. A pod's is translated and sent on instead, where there
 * is translation.
 */
static __always_inline bool flow_enters_stack(const struct flow_end *to,
					      const struct packet *p,
					      const struct hook *h)
{
	bool translates = p->family == 4 ? config_masquerade_ipv4 :
					   config_masquerade_ipv6;

	if (h->from_pod)
		return !translates && to->kind == LEG_STACK;
	return h->own_kind == LEG_HOST && h->direction == METRIC_INGRESS &&
	       to->kind != LEG_POD && to->kind != LEG_HOST;
}

/* To a pod's policy the address stays what the ipcache calls it. */
static __always_inline void flow_end_set_host(struct flow_end *end,
					      const struct hook *h)
{
	struct runtime_config *config = runtime_config();

	end->kind = LEG_HOST;
	end->policy_id = config ? config->host_policy_id : 0;
	if (h->own_kind == LEG_HOST)
		end->peer.identity = IDENTITY_HOST;
}

/* The node, by another address than those that are known as its own. */
static __always_inline void flow_resolve_host(struct __sk_buff *skb,
					      struct flow *f,
					      const struct packet *p,
					      const struct hook *h)
{
	__u8 side = p->side & 1;

	if (flow_enters_stack(&f->end[side ^ 1], p, h) &&
	    stack_takes_in(skb, p) > 0)
		flow_end_set_host(&f->end[side ^ 1], h);
	/* Nobody forwards what has no source: the node asks for an address. */
	if (h->own_kind == LEG_HOST && h->direction == METRIC_EGRESS &&
	    addr_is_unspecified(&p->key.addr[side], p->family))
		flow_end_set_host(&f->end[side], h);
}

/*
 * Both ends of what the hook is about must be what it takes them for: the pod
 * by its interface, or this node. Returns 0, a negative drop reason, or
 * CONNECTION_NOT_OURS.
 */
static __always_inline int flow_resolve_ends(struct __sk_buff *skb,
					     struct flow *f,
					     const struct packet *p,
					     const struct hook *h)
{
	__u8 own = h->own & 1;
	__u8 other;

	flow_resolve(&f->end[0], &p->key.addr[0], f->epoch);
	flow_resolve(&f->end[1], &p->key.addr[1], f->epoch);
	if (config_host_firewall)
		flow_resolve_host(skb, f, p, h);
	other = f->end[own ^ 1].kind;
	if (config_host_firewall && h->own_kind == LEG_HOST) {
		if (f->end[own].kind != LEG_HOST)
			return CONNECTION_NOT_OURS;
		/* The node's own addresses are nobody else's out there. */
		if (other == LEG_HOST && h->direction == METRIC_INGRESS)
			return -DROP_INVALID_SIP;
	} else if (f->end[own].kind != LEG_POD ||
		   f->end[own].ifindex != h->ifindex) {
		return h->from_pod ? -DROP_INVALID_SIP : -DROP_UNROUTABLE;
	}
	/* Pods reach each other past the stack: this one only claims to be. */
	if (!h->from_pod && other == LEG_POD)
		return -DROP_INVALID_SIP;
	return 0;
}
