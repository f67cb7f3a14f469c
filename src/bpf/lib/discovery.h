/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "config.h"
#include "flow.h"
#include "metrics.h"

/*
 * ARP and neighbour discovery of pods. The only neighbour a pod has is its
 * gateway, and the program answers for it; answers of the pod to the node's
 * own questions go up to the stack, from its own address only.
 */

struct arp_ipv4 {
	struct arphdr hdr;
	__u8 smac[6];
	__be32 sip;
	__u8 dmac[6];
	__be32 dip;
} __attribute__((packed));

__noinline int discovery_arp(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct endpoint *ep = bpf_map_lookup_elem(&cilium_endpoints, &ifindex);
	struct arp_ipv4 arp;
	__be32 asked;

	if (!ep || bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)))
		goto drop;
	if (arp.hdr.ar_pro != bpf_htons(ETH_P_IP) || arp.hdr.ar_hln != 6 ||
	    arp.hdr.ar_pln != 4)
		goto drop;
	if (arp.sip && arp.sip != ep->ipv4.w[3])
		goto drop;
	if (arp.hdr.ar_op == bpf_htons(ARPOP_REPLY))
		return TC_ACT_OK;
	if (arp.hdr.ar_op != bpf_htons(ARPOP_REQUEST) ||
	    arp.dip != config_router_ipv4.w[3])
		goto drop;

	asked = arp.dip;
	arp.hdr.ar_op = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(arp.dmac, arp.smac, 6);
	arp.dip = arp.sip;
	__builtin_memcpy(arp.smac, ep->node_mac, 6);
	arp.sip = asked;
	if (bpf_skb_store_bytes(skb, 0, arp.dmac, 6, 0) ||
	    bpf_skb_store_bytes(skb, 6, arp.smac, 6, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0))
		goto drop;
	return bpf_redirect(skb->ifindex, 0);
drop:
	metric_count(skb, DROP_UNSUPPORTED_L2, METRIC_EGRESS);
	return TC_ACT_SHOT;
}

/* A neighbour advertisement with its one option, and what is summed with it. */
struct nd_advert {
	union addr saddr;
	union addr daddr;
	__be32 length;
	__be32 nexthdr;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 flags;
	union addr target;
	__u8 option_type;
	__u8 option_len;
	__u8 mac[6];
} __attribute__((packed));

#define ND_SOLICIT 135
#define ND_ADVERT 136
#define ND_FLAG_ROUTER 0x80000000
#define ND_FLAG_SOLICITED 0x40000000
#define ND_FLAG_OVERRIDE 0x20000000
#define ND_OPTION_TARGET_MAC 2
#define ND_ADVERT_LEN 32

static __always_inline __be16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__be16)~sum;
}

/* Turn the pod's question into our answer, in place. */
static __always_inline int discovery_advertise(struct __sk_buff *skb,
					       const struct packet *p,
					       const struct endpoint *ep)
{
	struct nd_advert na = {
		.saddr = config_router_ipv6,
		.daddr = p->key.addr[p->side & 1],
		.length = bpf_htonl(ND_ADVERT_LEN),
		.nexthdr = bpf_htonl(IPPROTO_ICMPV6),
		.type = ND_ADVERT,
		.flags = bpf_htonl(ND_FLAG_ROUTER | ND_FLAG_SOLICITED |
				   ND_FLAG_OVERRIDE),
		.target = config_router_ipv6,
		.option_type = ND_OPTION_TARGET_MAC,
		.option_len = 1,
	};
	__u8 pod_mac[6];
	__s64 sum;

	/* An unspecified source is duplicate detection: not about the gateway. */
	if (skb->len != ETH_HLEN + sizeof(struct ipv6hdr) + ND_ADVERT_LEN ||
	    p->l4_off != ETH_HLEN + sizeof(struct ipv6hdr))
		return -DROP_INVALID;
	__builtin_memcpy(na.mac, ep->node_mac, 6);
	__builtin_memcpy(pod_mac, ep->mac, 6);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&na, sizeof(na), 0);
	na.checksum = csum_fold((__u32)sum);
	if (bpf_skb_store_bytes(skb, 0, pod_mac, 6, 0) ||
	    bpf_skb_store_bytes(skb, 6, na.mac, 6, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + 8, &na.saddr, 32, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr),
				&na.type, ND_ADVERT_LEN, 0))
		return -DROP_WRITE_ERROR;
	return 0;
}

/* A neighbour of pods: this node, by its own addresses or the link's. */
static __always_inline bool nd_is_node(const union addr *addr)
{
	struct flow_end end = {};
	union addr router = config_router_ipv6;

	if (addr_is_link_local(addr) || addr_equal(addr, &router))
		return true;
	flow_resolve(&end, addr, 0);
	return end.kind == LEG_HOST;
}

static __always_inline bool nd_is_link_multicast(const union addr *addr)
{
	return addr->b[0] == 0xff && addr->b[1] == 0x02;
}

static __always_inline bool nd_is_own(const union addr *addr,
				      const struct endpoint *ep)
{
	return addr_equal(addr, &ep->ipv6) || addr_is_link_local(addr);
}

/*
 * Solicitations for the gateway are answered. The pod's advertisements of its
 * own address go to the node. Everything else ends here without asking policy,
 * and all that is about routers (a rogue router advertisement is
 * CVE-2020-10749).
 */
__noinline int discovery_nd(struct __sk_buff *skb, struct packet *p)
{
	__u32 ifindex = skb->ifindex;
	struct endpoint *ep = bpf_map_lookup_elem(&cilium_endpoints, &ifindex);
	const union addr *saddr, *daddr;
	union addr target;

	if (!p || !ep || !nd_is_valid(skb, p) ||
	    bpf_skb_load_bytes(skb, p->l4_off + 8, &target, 16))
		goto drop;
	saddr = &p->key.addr[p->side & 1];
	daddr = &p->key.addr[(p->side & 1) ^ 1];
	if (!nd_is_own(saddr, ep))
		goto drop;
	if (!nd_is_link_multicast(daddr) && !nd_is_node(daddr))
		goto drop;
	if (p->icmp_type == ND_SOLICIT &&
	    target.d[0] == config_router_ipv6.d[0] &&
	    target.d[1] == config_router_ipv6.d[1]) {
		if (discovery_advertise(skb, p, ep))
			goto drop;
		return bpf_redirect(skb->ifindex, 0);
	}
	if (p->icmp_type == ND_ADVERT && nd_is_own(&target, ep))
		return TC_ACT_OK;
drop:
	metric_count(skb, DROP_FORBIDDEN_ICMP6, METRIC_EGRESS);
	return TC_ACT_SHOT;
}

/* The node's own questions and answers, on their way to a pod. */
__noinline int discovery_nd_to_pod(struct __sk_buff *skb, struct packet *p)
{
	if (p && nd_is_valid(skb, p) &&
	    (p->icmp_type == ND_SOLICIT || p->icmp_type == ND_ADVERT) &&
	    nd_is_node(&p->key.addr[p->side & 1]))
		return TC_ACT_OK;
	metric_count(skb, DROP_FORBIDDEN_ICMP6, METRIC_INGRESS);
	return TC_ACT_SHOT;
}
