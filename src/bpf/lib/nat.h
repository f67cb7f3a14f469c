/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "conntrack.h"

/*
 * Source translation of what pods send to the world. The conntrack entry keeps
 * the port; cilium_snat finds the pod from the world's view of a connection.
 */

#define NAT_TRIES_MAX 24

#define IPV4_CSUM_OFF (ETH_HLEN + 10)

static __always_inline __u32 l4_csum_off(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	default:
		return 2;
	}
}

/* Where the port, or what stands for it, is: 0 and 2, or the echo id at 4. */
static __always_inline __u32 l4_port_off(__u8 proto, bool source)
{
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		return 4;
	return source ? 0 : 2;
}

struct nat_change {
	union addr old_addr;
	union addr new_addr;
	__be16 old_port;
	__be16 new_port;
	__u8 source; /* the source changes, otherwise the destination */
	__u8 pad[3];
};

static __always_inline int nat_write_address(struct __sk_buff *skb,
					     const struct packet *p,
					     const struct nat_change *c)
{
	__u32 off = ETH_HLEN;

	if (p->family == 4) {
		__be32 from = c->old_addr.w[3];
		__be32 to = c->new_addr.w[3];

		off += c->source ? 12 : 16;
		if (bpf_l3_csum_replace(skb, IPV4_CSUM_OFF, from, to, 4))
			return -DROP_WRITE_ERROR;
		return bpf_skb_store_bytes(skb, off, &to, 4, 0) ?
			       -DROP_WRITE_ERROR :
			       0;
	}
	off += c->source ? 8 : 24;
	return bpf_skb_store_bytes(skb, off, &c->new_addr, 16, 0) ?
		       -DROP_WRITE_ERROR :
		       0;
}

/*
 * Rewrite one end of a packet, with every checksum that covers it. That of SCTP
 * covers its ports and no address, and cannot be computed here: nat_allocate()
 * leaves its ports alone.
 */
__noinline int nat_write(struct __sk_buff *skb, const struct packet *p,
			 const struct nat_change *c)
{
	__u64 udp;
	__be16 port;
	__u32 csum;
	__u8 proto;
	__s64 diff;

	if (!p || !c)
		return -DROP_INVALID;
	proto = p->key.proto;
	if (p->l4_off && proto != IPPROTO_SCTP) {
		csum = p->l4_off + l4_csum_off(proto);
		udp = proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
		port = c->new_port;
		diff = bpf_csum_diff((__be32 *)&c->old_addr, 16,
				     (__be32 *)&c->new_addr, 16, 0);
		if (proto != IPPROTO_ICMP &&
		    bpf_l4_csum_replace(skb, csum, 0, diff,
					BPF_F_PSEUDO_HDR | udp))
			return -DROP_WRITE_ERROR;
		if (bpf_l4_csum_replace(skb, csum, c->old_port, port, 2 | udp))
			return -DROP_WRITE_ERROR;
		if (bpf_skb_store_bytes(
			    skb, p->l4_off + l4_port_off(proto, c->source),
			    &port, 2, 0))
			return -DROP_WRITE_ERROR;
	}
	return nat_write_address(skb, p, c);
}

static __always_inline __u32 nat_lifetime(__u8 proto)
{
	return proto == IPPROTO_TCP ? config_ct_tcp : config_ct_any;
}

/* The connection that holds a port is over, or gone. */
__noinline int nat_is_free(const struct nat_entry *n, const struct packet *p,
			   __u32 now)
{
	struct ct_key key = {};
	struct ct_entry *e;
	__u8 other;

	if (!n || !p)
		return 0;
	other = (p->side & 1) ^ 1;
	key.proto = p->key.proto;
	ct_key_order(&key, &n->addr, &p->key.addr[other], n->port,
		     p->key.port[other]);
	e = bpf_map_lookup_elem(&cilium_ct_global, &key);
	if (!e || ct_expired(e, p->key.proto, now))
		return 1;
	return ct_lifetime(e, p->key.proto) == config_ct_tcp_fin &&
	       p->key.proto == IPPROTO_TCP;
}

/*
 * Find a source port that makes the connection unique out there. The number of
 * tries is bounded; the pod's own port's hash spreads where they begin. SCTP
 * keeps its port, or goes without a translation.
 */
__noinline int nat_allocate(const struct packet *p, const struct flow_end *pod,
			    const union addr *node, __be16 *port)
{
	__u32 range = (__u32)config_nat_port_max - config_nat_port_min + 1;
	struct nat_entry n = { .last_seen = bpf_jiffies64() };
	struct ct_key key = {};
	__u32 start;
	__u8 side;

	if (!p || !pod || !node || !port)
		return -DROP_INVALID;
	side = p->side & 1;
	start = bpf_ntohs(p->key.port[side]) * 40503u;
	n.addr = p->key.addr[side];
	n.port = p->key.port[side];
	n.endpoint_id = pod->endpoint_id;
	n.ifindex = pod->ifindex;
	key.proto = p->key.proto;

	for (__u32 i = 0; i < NAT_TRIES_MAX; i++) {
		struct nat_entry *taken;
		__be16 candidate = bpf_htons(config_nat_port_min +
					     (start + i * 1031u) % range);

		if (p->key.proto == IPPROTO_SCTP)
			candidate = n.port;
		ct_key_order(&key, node, &p->key.addr[side ^ 1], candidate,
			     p->key.port[side ^ 1]);
		if (!bpf_map_update_elem(&cilium_snat, &key, &n, BPF_NOEXIST)) {
			*port = candidate;
			return 0;
		}
		taken = bpf_map_lookup_elem(&cilium_snat, &key);
		if (taken && ((addr_equal(&taken->addr, &n.addr) &&
			       taken->port == n.port) ||
			      nat_is_free(taken, p, n.last_seen) > 0)) {
			bpf_map_update_elem(&cilium_snat, &key, &n, BPF_ANY);
			*port = candidate;
			return 0;
		}
		if (p->key.proto == IPPROTO_SCTP)
			break;
	}
	return -DROP_NAT_NO_MAPPING;
}

/* Note in the conntrack entry by which device and port one side is reached. */
__noinline int nat_set_leg(const struct packet *p, __u32 side, __u32 ifindex,
			   __u32 port)
{
	struct ct_entry *e;

	if (!p)
		return -DROP_INVALID;
	e = bpf_map_lookup_elem(&cilium_ct_global, &p->key);
	if (!e)
		return -DROP_CT_CREATE_FAILED;
	e->nat_port = port;
	e->leg[side & 1].ifindex = ifindex;
	e->leg[side & 1].kind = LEG_WORLD;
	return 0;
}

/* Where a packet goes after connection_track(). */
struct delivery {
	__u32 ifindex;
	__be16 nat_port;
	__u8 kind; /* enum leg_kind */
	__u8 is_new;
};

/*
 * Decide how a new connection to the outside leaves the node: by a native
 * device with its source translated (LEG_WORLD), or through the stack as it is
 * (LEG_STACK). Returns 0 or a negative drop reason.
 */
__noinline int nat_open(struct __sk_buff *skb, const struct packet *p,
			const struct flow_end *pod, struct delivery *d)
{
	struct bpf_fib_lookup fib = {};
	const union addr *node;
	struct device *device;
	__be16 port = 0;
	__u8 side, request;
	bool icmp;
	__u32 out;
	long ret;

	if (!p || !pod || !d)
		return -DROP_INVALID;
	/* Of ICMP only what asks has a number that can be translated. */
	icmp = p->key.proto == IPPROTO_ICMP || p->key.proto == IPPROTO_ICMPV6;
	request = p->family == 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
	side = p->side & 1;
	fib.l4_protocol = p->key.proto;
	fib.ifindex = skb->ifindex;
	if (p->family == 4) {
		if (!config_masquerade_ipv4)
			return 0;
		fib.family = AF_INET;
		fib.ipv4_src = p->key.addr[side].w[3];
		fib.ipv4_dst = p->key.addr[side ^ 1].w[3];
	} else {
		if (!config_masquerade_ipv6)
			return 0;
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, &p->key.addr[side], 16);
		__builtin_memcpy(fib.ipv6_dst, &p->key.addr[side ^ 1], 16);
	}
	ret = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (ret != BPF_FIB_LKUP_RET_SUCCESS && ret != BPF_FIB_LKUP_RET_NO_NEIGH)
		return -DROP_NO_FIB;
	out = fib.ifindex;
	device = bpf_map_lookup_elem(&cilium_devices, &out);
	if (!device)
		return 0;
	node = p->family == 4 ? &device->ipv4 : &device->ipv6;
	if (!(node->d[0] | node->d[1]) || (icmp && p->icmp_type != request))
		return -DROP_NAT_NO_MAPPING;
	ret = nat_allocate(p, pod, node, &port);
	if (ret)
		return ret;
	d->kind = LEG_WORLD;
	d->ifindex = out;
	d->nat_port = port;
	return nat_set_leg(p, side ^ 1, out, port);
}

/* One hop more: routers count, so does translation. */
static __always_inline int nat_decrement_ttl(struct __sk_buff *skb,
					     const struct packet *p)
{
	__u32 off = ETH_HLEN + (p->family == 4 ? 8 : 7);
	__u8 word[2];

	if (bpf_skb_load_bytes(skb, off, word, 2))
		return -DROP_INVALID;
	if (word[0] <= 1)
		return -DROP_TTL_EXCEEDED;
	if (p->family == 4) {
		__be16 from = *(__be16 *)word;

		word[0]--;
		if (bpf_l3_csum_replace(skb, IPV4_CSUM_OFF, from,
					*(__be16 *)word, 2))
			return -DROP_WRITE_ERROR;
	} else {
		word[0]--;
	}
	return bpf_skb_store_bytes(skb, off, word, 1, 0) ? -DROP_WRITE_ERROR : 0;
}

/* The mapping was evicted under a running connection: its answers need it. */
static __always_inline void nat_restore(const struct __sk_buff *skb,
					const struct packet *p,
					const struct ct_key *key)
{
	__u8 side = p->side & 1;
	struct nat_entry n = {
		.addr = p->key.addr[side],
		.port = p->key.port[side],
		.ifindex = skb->ifindex,
		.last_seen = bpf_jiffies64(),
	};

	bpf_map_update_elem(&cilium_snat, key, &n, BPF_NOEXIST);
}

/* Send a pod's packet out of its device under the node's address. */
__noinline int nat_forward(struct __sk_buff *skb, const struct packet *p,
			   __u32 ifindex, __u32 nat_port)
{
	struct device *device = bpf_map_lookup_elem(&cilium_devices, &ifindex);
	struct nat_change c = { .source = 1 };
	struct ct_key key = {};
	struct nat_entry *n;
	__u8 side;
	int ret;

	if (!device || !p)
		return -DROP_NO_FIB;
	side = p->side & 1;
	c.old_addr = p->key.addr[side];
	c.old_port = p->key.port[side];
	c.new_port = nat_port;
	c.new_addr = p->family == 4 ? device->ipv4 : device->ipv6;
	key.proto = p->key.proto;
	ct_key_order(&key, &c.new_addr, &p->key.addr[side ^ 1], c.new_port,
		     p->key.port[side ^ 1]);
	n = bpf_map_lookup_elem(&cilium_snat, &key);
	if (!n) {
		nat_restore(skb, p, &key);
		n = bpf_map_lookup_elem(&cilium_snat, &key);
	}
	/* Somebody else's by now: the next packet looks for another port. */
	if (!n || !addr_equal(&n->addr, &c.old_addr) || n->port != c.old_port) {
		bpf_map_delete_elem(&cilium_ct_global, &p->key);
		return -DROP_NAT_NO_MAPPING;
	}
	n->last_seen = bpf_jiffies64();
	ret = nat_decrement_ttl(skb, p);
	if (!ret)
		ret = nat_write(skb, p, &c);
	if (ret)
		return ret;
	return bpf_redirect_neigh(ifindex, NULL, 0, 0);
}
