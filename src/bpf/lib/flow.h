/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "packet.h"
#include "policy.h"

/*
 * A connection while it is being judged: who its two ends are and what the
 * policies of both said. Everything is by side, as in the conntrack key.
 */

struct flow {
	struct flow_end end[2];
	struct verdict verdict[2]; /* by enum policy_direction */
	__u32 epoch;
	__u8 initiator;
	__u8 pad[3];
};

/* Find out who has an address: a pod here, this node, or somebody outside. */
__noinline int flow_resolve(struct flow_end *end, const union addr *addr)
{
	struct ipcache_key key = { .prefixlen = 128 };
	struct ipcache_entry *entry;
	struct endpoint *ep;

	if (!end || !addr)
		return -DROP_INVALID;
	end->pad = 0;
	ep = bpf_map_lookup_elem(&cilium_lxc, addr);
	if (ep) {
		end->peer.identity = ep->identity;
		end->peer.address_set = 0;
		end->policy_id = ep->policy_id;
		end->ifindex = ep->ifindex;
		end->endpoint_id = ep->id;
		end->kind = LEG_POD;
		return 0;
	}
	end->policy_id = 0;
	end->ifindex = 0;
	end->endpoint_id = 0;
	end->peer.identity = 0;
	end->peer.address_set = 0;
	end->kind = LEG_NONE;
	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	entry = bpf_map_lookup_elem(&cilium_ipcache_v2, &key);
	if (!entry)
		return 0;
	end->peer.identity = entry->identity;
	end->peer.address_set = entry->address_set;
	if (entry->flags & IPCACHE_HOST)
		end->kind = LEG_HOST;
	else if (!(entry->flags & IPCACHE_UNROUTABLE))
		end->kind = LEG_STACK;
	return 0;
}

/* What a policy calls the port: the responder's, or the ICMP type. */
static __always_inline __be16 flow_policy_port(const struct packet *p,
					       __u8 initiator)
{
	if (p->key.proto == IPPROTO_ICMP || p->key.proto == IPPROTO_ICMPV6) {
		if (packet_is_echo(p))
			return bpf_htons(p->family == 4 ? ICMP_ECHO :
							  ICMPV6_ECHO_REQUEST);
		return p->key.port[0] & bpf_htons(0xff);
	}
	return p->key.port[(initiator & 1) ^ 1];
}

/*
 * Egress policy of the initiator, then ingress policy of the responder, each
 * when it is a pod of this node. Returns 0 or a negative drop reason;
 * flow->verdict says how far it came.
 */
static __always_inline int flow_judge(struct flow *f, const struct packet *p,
				      __u8 initiator)
{
	struct flow_end *from = &f->end[initiator & 1];
	struct flow_end *to = &f->end[(initiator & 1) ^ 1];
	__be16 port = flow_policy_port(p, initiator);
	__u8 proto = p->key.proto;
	int ret = 0;

	f->initiator = initiator & 1;
	__builtin_memset(f->verdict, 0, sizeof(f->verdict));
	if (from->kind == LEG_NONE || to->kind == LEG_NONE)
		return -DROP_UNROUTABLE;
	if (from->kind == LEG_POD)
		ret = policy_check(&f->verdict[POLICY_EGRESS], from, to,
				   POLICY_ASK(POLICY_EGRESS, proto, port),
				   f->epoch);
	if (!ret && to->kind == LEG_POD)
		ret = policy_check(&f->verdict[POLICY_INGRESS], to, from,
				   POLICY_ASK(POLICY_INGRESS, proto, port),
				   f->epoch);
	return ret;
}
