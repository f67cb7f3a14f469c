/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "maps.h"

/*
 * A packet as conntrack and policy see it. packet_parse() reads the plain case
 * in place (3.5 ns); packet_parse_slow() reads everything else: options,
 * extension headers, fragments, headers that are not in the linear part, and
 * the packet quoted inside an ICMP error.
 */

enum packet_kind {
	PACKET_PLAIN = 0, /* key and side are set */
	PACKET_SLOW, /* packet_parse_slow() has to look, or could not read it */
	PACKET_OTHER, /* of a protocol whose ports, if any, are not known: 0 */
	PACKET_ICMP_ERROR, /* quotes the packet that it is about */
	PACKET_ND, /* neighbour and router discovery */
};

struct packet {
	struct ct_key key;
	__u8 side; /* the one that sent it: its address is key.addr[side] */
	__u8 kind; /* enum packet_kind */
	__u8 family; /* 4 or 6 */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u16 l4_off; /* 0 in a later fragment: there is no header to change */
};

static __always_inline void addr_set_ipv4(union addr *a, __be32 ip)
{
	a->d[0] = 0;
	a->w[2] = bpf_htonl(0xffff);
	a->w[3] = ip;
}

static __always_inline bool addr_is_ipv4(const union addr *a)
{
	return a->d[0] == 0 && a->w[2] == bpf_htonl(0xffff);
}

static __always_inline bool addr_equal(const union addr *a, const union addr *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

static __always_inline bool addr_is_multicast(const union addr *a, __u8 family)
{
	if (family == 4)
		return (a->b[12] & 0xf0) == 0xe0 || a->w[3] == 0xffffffff;
	return a->b[0] == 0xff;
}

static __always_inline bool addr_is_unspecified(const union addr *a, __u8 family)
{
	if (family == 4)
		return !a->w[3];
	return !(a->d[0] | a->d[1]);
}

static __always_inline bool addr_is_link_local(const union addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/*
 * Write both ends into a key, lower one first, and say which side the source
 * became. Any total order does, as long as both directions agree on it.
 */
static __always_inline __u8 ct_key_order(struct ct_key *key,
					 const union addr *saddr,
					 const union addr *daddr, __be16 sport,
					 __be16 dport)
{
	bool first;

	if (saddr->d[0] != daddr->d[0])
		first = saddr->d[0] < daddr->d[0];
	else if (saddr->d[1] != daddr->d[1])
		first = saddr->d[1] < daddr->d[1];
	else
		first = sport <= dport;

	if (first) {
		key->addr[0] = *saddr;
		key->addr[1] = *daddr;
		key->port[0] = sport;
		key->port[1] = dport;
		return 0;
	}
	key->addr[0] = *daddr;
	key->addr[1] = *saddr;
	key->port[0] = dport;
	key->port[1] = sport;
	return 1;
}

/*
 * The id of an echo stands for the port of the side that asks. Any other
 * message has its type for both ports, beyond 255, so that it never shares an
 * entry with an echo or with a type that policy was asked about.
 */
#define ICMP_TYPE_PORT 0x100

static __always_inline bool icmp_echo_ports(struct packet *p, __be16 id,
					    __be16 *sport, __be16 *dport)
{
	bool v4 = p->key.proto == IPPROTO_ICMP;
	__u8 request = v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
	__u8 reply = v4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;

	if (p->icmp_type != request && p->icmp_type != reply) {
		*sport = bpf_htons(ICMP_TYPE_PORT | p->icmp_type);
		*dport = *sport;
		return false;
	}
	*sport = p->icmp_type == request ? id : 0;
	*dport = p->icmp_type == reply ? id : 0;
	return true;
}

/* Of an ICMP packet whose ports are known. */
static __always_inline bool packet_is_echo(const struct packet *p)
{
	return !p->key.port[0] || !p->key.port[1];
}

/* Pods have no VLANs, and those of a device are other devices' traffic. */
static __always_inline bool is_tagged(const struct __sk_buff *skb)
{
	return skb->vlan_present || skb->protocol == bpf_htons(ETH_P_8021Q) ||
	       skb->protocol == bpf_htons(ETH_P_8021AD);
}

/* The plain case: TCP, UDP, SCTP or an echo, straight behind a plain header. */
static __always_inline int packet_parse(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	union addr saddr, daddr;
	__be16 sport, dport;
	__be16 *l4;
	__u8 proto;

	p->kind = PACKET_SLOW;
	p->tcp_flags = 0;
	p->icmp_type = 0;
	p->icmp_code = 0;
	p->key.pad = 0;
	p->key.zone = 0;

	if (data + ETH_HLEN + sizeof(struct iphdr) > end)
		return PACKET_SLOW;

	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		if (ip->ihl != 5 || ip->version != 4 ||
		    ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
			return PACKET_SLOW;
		proto = ip->protocol;
		addr_set_ipv4(&saddr, ip->saddr);
		addr_set_ipv4(&daddr, ip->daddr);
		l4 = data + ETH_HLEN + sizeof(*ip);
		p->family = 4;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return PACKET_SLOW;
		proto = ip->nexthdr;
		__builtin_memcpy(&saddr, &ip->saddr, sizeof(saddr));
		__builtin_memcpy(&daddr, &ip->daddr, sizeof(daddr));
		l4 = data + ETH_HLEN + sizeof(*ip);
		p->family = 6;
	} else {
		return PACKET_SLOW;
	}
	p->l4_off = (void *)l4 - data;
	p->key.proto = proto;

	if (proto == IPPROTO_TCP) {
		if ((void *)l4 + sizeof(struct tcphdr) > end)
			return PACKET_SLOW;
		sport = l4[0];
		dport = l4[1];
		p->tcp_flags = ((__u8 *)l4)[13];
	} else if (proto == IPPROTO_UDP) {
		if ((void *)l4 + sizeof(struct udphdr) > end)
			return PACKET_SLOW;
		sport = l4[0];
		dport = l4[1];
	} else if (proto == (p->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		if ((void *)l4 + 8 > end)
			return PACKET_SLOW;
		p->icmp_type = ((__u8 *)l4)[0];
		p->icmp_code = ((__u8 *)l4)[1];
		/* Of an id of 0 the ports do not tell which side asked. */
		if (!icmp_echo_ports(p, l4[2], &sport, &dport) || !l4[2])
			return PACKET_SLOW;
	} else if (proto == IPPROTO_SCTP) {
		if ((void *)l4 + SCTP_HLEN > end)
			return PACKET_SLOW;
		sport = l4[0];
		dport = l4[1];
	} else {
		return PACKET_SLOW;
	}

	p->side = ct_key_order(&p->key, &saddr, &daddr, sport, dport);
	p->kind = PACKET_PLAIN;
	return PACKET_PLAIN;
}

/* State of the walk through the headers of an unusual packet. */
struct header_walk {
	union addr saddr;
	union addr daddr;
	__u32 off; /* of what comes next */
	__u32 fragment_id;
	__u8 proto;
	__u8 later; /* a fragment, and not the first one */
	__u8 first; /* the first of several fragments */
};

static __always_inline int header_walk_ipv4(struct __sk_buff *skb,
					    struct header_walk *w)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, w->off, &ip, sizeof(ip)))
		return -DROP_INVALID;
	if (ip.version != 4 || ip.ihl < 5)
		return -DROP_INVALID;
	addr_set_ipv4(&w->saddr, ip.saddr);
	addr_set_ipv4(&w->daddr, ip.daddr);
	w->proto = ip.protocol;
	w->later = !!(ip.frag_off & bpf_htons(IP_OFFSET));
	w->first = !w->later && (ip.frag_off & bpf_htons(IP_MF));
	w->fragment_id = ip.id;
	w->off += (__u32)ip.ihl * 4;
	return 0;
}

#define IPV6_EXTHDRS_MAX 8

static __always_inline int header_walk_ipv6(struct __sk_buff *skb,
					    struct header_walk *w)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, w->off, &ip, sizeof(ip)))
		return -DROP_INVALID;
	__builtin_memcpy(&w->saddr, &ip.saddr, sizeof(w->saddr));
	__builtin_memcpy(&w->daddr, &ip.daddr, sizeof(w->daddr));
	w->proto = ip.nexthdr;
	w->off += sizeof(ip);

	for (int i = 0; i <= IPV6_EXTHDRS_MAX; i++) {
		struct {
			__u8 nexthdr;
			__u8 len;
			__be16 frag_off;
			__be32 id;
		} ext;

		switch (w->proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (bpf_skb_load_bytes(skb, w->off, &ext, sizeof(ext)))
				return -DROP_INVALID;
			w->off += ((__u32)ext.len + 1) * 8;
			break;
		case IPPROTO_FRAGMENT:
			if (bpf_skb_load_bytes(skb, w->off, &ext, sizeof(ext)))
				return -DROP_INVALID;
			w->later = !!(ext.frag_off & bpf_htons(0xfff8));
			w->first = !w->later && (ext.frag_off & bpf_htons(1));
			w->fragment_id = ext.id;
			w->off += sizeof(ext);
			break;
		default:
			return 0;
		}
		w->proto = ext.nexthdr;
	}
	return -DROP_INVALID_EXTHDR;
}

/* Later fragments have no ports: the first one leaves them behind. */
static __always_inline int fragment_ports(const struct __sk_buff *skb,
					  const struct header_walk *w,
					  __be16 *sport, __be16 *dport)
{
	struct fragment_key key = {
		.saddr = w->saddr,
		.daddr = w->daddr,
		.id = w->fragment_id,
		.ifindex = skb->ifindex,
		.proto = w->proto,
	};

	if (w->later) {
		struct fragment_entry *e = bpf_map_lookup_elem(
			&cilium_fragments, &key);

		if (!e)
			return -DROP_FRAG_NOT_FOUND;
		*sport = e->sport;
		*dport = e->dport;
	} else {
		struct fragment_entry e = {
			.sport = *sport,
			.dport = *dport,
			.last_seen = bpf_jiffies64(),
		};

		bpf_map_update_elem(&cilium_fragments, &key, &e, BPF_ANY);
	}
	return 0;
}

static __always_inline bool icmp_is_error(__u8 proto, __u8 type)
{
	if (proto == IPPROTO_ICMPV6)
		return type < 128;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* An ICMP error that path MTU discovery lives by (RFC 1191, RFC 8201). */
static __always_inline bool packet_is_frag_needed(const struct packet *p)
{
	if (p->kind != PACKET_ICMP_ERROR)
		return false;
	if (p->family == 6)
		return p->icmp_type == ICMPV6_PKT_TOOBIG;
	return p->icmp_type == ICMP_DEST_UNREACH &&
	       p->icmp_code == ICMP_FRAG_NEEDED;
}

static __always_inline int packet_parse_icmp(struct __sk_buff *skb,
					     struct packet *p, __be16 *sport,
					     __be16 *dport)
{
	struct {
		__u8 type;
		__u8 code;
		__be16 checksum;
		__be16 id;
	} icmp;

	if (bpf_skb_load_bytes(skb, p->l4_off, &icmp, sizeof(icmp)))
		return -DROP_INVALID;
	p->icmp_type = icmp.type;
	p->icmp_code = icmp.code;
	if (icmp_echo_ports(p, icmp.id, sport, dport))
		return 0;
	if (icmp_is_error(p->key.proto, icmp.type))
		p->kind = PACKET_ICMP_ERROR;
	else if (p->key.proto == IPPROTO_ICMPV6 && icmp.type >= 133 &&
		 icmp.type <= 137)
		p->kind = PACKET_ND;
	return 0;
}

/* ICMP of the other family is nobody's. */
static __always_inline __u8 packet_kind_unread(const struct packet *p,
					       int reason)
{
	if (reason != -DROP_CT_UNKNOWN_PROTO || p->key.proto == IPPROTO_ICMP ||
	    p->key.proto == IPPROTO_ICMPV6)
		return PACKET_SLOW;
	return PACKET_OTHER;
}

/*
 * Whatever packet_parse() left. A function of its own, verified once. l3_off
 * is where the network header is: behind Ethernet, or inside an ICMP error.
 * Returns 0 or a negative drop reason; then p->kind says whether anything but
 * its addresses is known.
 */
__noinline int packet_parse_slow(struct __sk_buff *skb, struct packet *p,
				 __u32 l3_off)
{
	struct header_walk w = { .off = l3_off };
	struct {
		__be16 sport;
		__be16 dport;
	} ports = {};
	bool is_icmp, has_ports;
	int ret;

	if (!p)
		return -DROP_INVALID;
	/* Also what an event tells of a packet that is cut short. */
	__builtin_memset(p, 0, sizeof(*p));

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		p->family = 4;
		ret = header_walk_ipv4(skb, &w);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		p->family = 6;
		ret = header_walk_ipv6(skb, &w);
	} else {
		p->kind = PACKET_SLOW;
		return -DROP_UNKNOWN_L3;
	}
	p->key.proto = w.proto;
	if (ret) {
		/* Who it was for matters even then. */
		p->kind = PACKET_SLOW;
		p->side = ct_key_order(&p->key, &w.saddr, &w.daddr, 0, 0);
		return ret;
	}
	p->l4_off = w.later ? 0 : w.off;
	is_icmp = w.proto == (p->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	has_ports = w.proto == IPPROTO_TCP || w.proto == IPPROTO_UDP ||
		    w.proto == IPPROTO_SCTP;

	if (!has_ports && !is_icmp) {
		ret = -DROP_CT_UNKNOWN_PROTO;
	} else if (w.later) {
		ret = fragment_ports(skb, &w, &ports.sport, &ports.dport);
	} else if (has_ports) {
		if (bpf_skb_load_bytes(skb, w.off, &ports, sizeof(ports)))
			ret = -DROP_CT_INVALID_HDR;
		/* A quoted packet may end before its flags. */
		if (w.proto == IPPROTO_TCP)
			bpf_skb_load_bytes(skb, w.off + 13, &p->tcp_flags, 1);
	} else {
		ret = packet_parse_icmp(skb, p, &ports.sport, &ports.dport);
	}
	p->side = ct_key_order(&p->key, &w.saddr, &w.daddr, ports.sport,
			       ports.dport);
	if (ret) {
		p->kind = packet_kind_unread(p, ret);
		return ret;
	}
	/* What an error quotes is a claim, and no datagram to remember. */
	if (w.first && l3_off == ETH_HLEN)
		return fragment_ports(skb, &w, &ports.sport, &ports.dport);
	return 0;
}

/*
 * RFC 4861, sections 7.1.1 and 7.1.2: what did not cross a router has its hop
 * limit still. Anything else only calls itself neighbour discovery.
 */
static __always_inline bool nd_is_valid(struct __sk_buff *skb,
					const struct packet *p)
{
	__u8 hop_limit;

	if (p->kind != PACKET_ND || p->icmp_code ||
	    p->l4_off != ETH_HLEN + sizeof(struct ipv6hdr))
		return false;
	return !bpf_skb_load_bytes(skb, ETH_HLEN + 7, &hop_limit, 1) &&
	       hop_limit == 255;
}

#define MLD_QUERY 130
#define MLD_DONE 132
#define MLD_V2_REPORT 143

/*
 * Listener discovery (RFC 2710, section 3; RFC 3810, section 5): without it a
 * switch that watches it does not bring the solicitations of neighbours.
 */
static __always_inline bool mld_is_valid(struct __sk_buff *skb,
					 const struct packet *p)
{
	const union addr *from = &p->key.addr[p->side & 1];
	__u8 hop_limit;

	if (p->key.proto != IPPROTO_ICMPV6 || p->family != 6 || !p->l4_off)
		return false;
	if (p->icmp_type != MLD_V2_REPORT &&
	    (p->icmp_type < MLD_QUERY || p->icmp_type > MLD_DONE))
		return false;
	if (!addr_is_link_local(from) && !addr_is_unspecified(from, 6))
		return false;
	return !bpf_skb_load_bytes(skb, ETH_HLEN + 7, &hop_limit, 1) &&
	       hop_limit == 1;
}
