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

/* What CIDRs mean that mean the outside of the cluster. */
static __always_inline bool identity_is_outside(__u32 identity)
{
	if (identity >> IDENTITY_SCOPE_SHIFT == IDENTITY_SCOPE_LOCAL ||
	    identity == config_world_identity_ipv4 ||
	    identity == config_world_identity_ipv6)
		return true;
	return config_cidr_matches_nodes &&
	       (identity == IDENTITY_HOST || identity == IDENTITY_REMOTE_NODE ||
		identity == IDENTITY_KUBE_APISERVER);
}

/*
 * Set which CIDRs contain an address, in the bank of an epoch; the identity is
 * known.
 */
static __always_inline void flow_address_set(struct flow_end *end,
					     const struct ipcache_key *key,
					     __u32 flags, __u32 bank)
{
	__u32 used = bank ? RUNTIME_ADDRESS_SETS_1 : RUNTIME_ADDRESS_SETS_0;
	struct address_set *set;

	end->peer.address_set = 0;
	if (!(flags & used))
		return;
	set = bpf_map_lookup_elem(&cilium_address_sets, key);
	if (!set)
		return;
	end->peer.address_set = identity_is_outside(end->peer.identity) ?
					set->outside[bank] :
					set->inside[bank];
}

/*
 * Find out who has an address: a pod here, this node, or somebody outside; and
 * what policy goes by, in the bank of the epoch.
 */
__noinline int flow_resolve(struct flow_end *end, const union addr *addr,
			    __u32 epoch)
{
	struct runtime_config *config = runtime_config();
	struct ipcache_key key = { .prefixlen = 128 };
	struct ipcache_entry *entry;
	struct endpoint *ep;

	if (!end || !addr || !config)
		return -DROP_INVALID;
	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	end->flags = addr_is_ipv4(addr) ? 0 : FLOW_END_IPV6;
	if (config->flags & RUNTIME_POLICY_AUDIT)
		end->flags |= FLOW_END_AUDIT;
	ep = bpf_map_lookup_elem(&cilium_lxc, addr);
	if (ep) {
		end->peer.identity = ep->identity;
		end->policy_id = ep->policy_id;
		end->ifindex = ep->ifindex;
		end->endpoint_id = ep->id;
		end->kind = LEG_POD;
		if (ep->flags & ENDPOINT_AUDIT)
			end->flags |= FLOW_END_AUDIT;
		flow_address_set(end, &key, config->flags, epoch & 1);
		return 0;
	}
	end->policy_id = 0;
	end->ifindex = 0;
	end->endpoint_id = 0;
	end->peer.identity = 0;
	end->peer.address_set = 0;
	end->kind = LEG_NONE;
	entry = bpf_map_lookup_elem(&cilium_ipcache_v2, &key);
	if (!entry)
		return 0;
	end->peer.identity = entry->identity;
	flow_address_set(end, &key, config->flags, epoch & 1);
	if (entry->flags & IPCACHE_HOST) {
		end->kind = LEG_HOST;
		end->policy_id = config->host_policy_id;
	} else if (!(entry->flags & IPCACHE_UNROUTABLE)) {
		end->kind = LEG_STACK;
	}
	return 0;
}

/*
 * What a policy calls the port: the responder's, or the ICMP type. The id of an
 * echo is the asker's port: a connection that begins with the other end's is a
 * reply that nobody asked for. Of an id of 0 that cannot be told: a request.
 */
static __always_inline __be16 flow_policy_port(const struct packet *p,
					       __u8 initiator)
{
	__be16 own = p->key.port[initiator & 1];
	__be16 other = p->key.port[(initiator & 1) ^ 1];
	bool v4 = p->family == 4;

	if (p->key.proto != IPPROTO_ICMP && p->key.proto != IPPROTO_ICMPV6)
		return other;
	if (!packet_is_echo(p))
		return own & bpf_htons(0xff);
	if (!own && other)
		return bpf_htons(v4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY);
	return bpf_htons(v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST);
}

/* An end that has a policy of its own here. */
static __always_inline bool flow_end_judges(const struct flow_end *end)
{
	return end->kind == LEG_POD ||
	       (config_host_firewall && end->kind == LEG_HOST);
}

/* It was the node's own policy that had the last word, and it was no. */
static __always_inline bool flow_host_denies(const struct flow *f)
{
	__u8 responder = (f->initiator & 1) ^ 1;

	if (!config_host_firewall)
		return false;
	if (f->verdict[POLICY_INGRESS].denied)
		return f->end[responder].kind == LEG_HOST;
	return f->verdict[POLICY_EGRESS].denied &&
	       f->end[responder ^ 1].kind == LEG_HOST;
}

/* What an audited end denies goes on, and its verdict tells of it. */
static __always_inline int flow_ask(struct verdict *v,
				    const struct flow_end *own,
				    const struct flow_end *peer, __u32 ask,
				    __u32 epoch)
{
	int ret = policy_check(v, own, peer, ask, epoch);

	if ((ret == -DROP_POLICY || ret == -DROP_POLICY_DENY) &&
	    own->flags & FLOW_END_AUDIT)
		return 0;
	return ret;
}

/*
 * Egress policy of the initiator, then ingress policy of the responder, each
 * when it is a pod of this node, or the node itself. Nobody is asked about
 * itself. Returns 0 or a negative drop reason; flow->verdict says how far it
 * came.
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
	if (from->kind == to->kind && from->ifindex == to->ifindex)
		return 0;
	if (flow_end_judges(from))
		ret = flow_ask(&f->verdict[POLICY_EGRESS], from, to,
			       POLICY_ASK(POLICY_EGRESS, proto, port), f->epoch);
	if (!ret && flow_end_judges(to))
		ret = flow_ask(&f->verdict[POLICY_INGRESS], to, from,
			       POLICY_ASK(POLICY_INGRESS, proto, port),
			       f->epoch);
	return ret;
}
