// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The programs of a native device. cil_from_netdev: what comes in for a
 * connection that a pod opened under the node's address is translated back and
 * delivered. All else is the stack's; what it routes to a pod meets
 * cil_to_container. With the host firewall on, what is for the node itself is
 * judged by the node's policy first, and so is, by cil_to_netdev, what the node
 * sends. Without it, that program is not attached.
 */

#include "host.h"

/* Turn the packet into the pod's view of it, in the packet and in *p. */
__noinline int netdev_translate(struct __sk_buff *skb, struct packet *p,
				const struct nat_entry *n)
{
	struct nat_change c = {};
	union addr saddr;
	__be16 sport;
	__u8 side;
	int ret;

	if (!p || !n)
		return -DROP_INVALID;
	side = p->side & 1;
	saddr = p->key.addr[side];
	sport = p->key.port[side];
	c.old_addr = p->key.addr[side ^ 1];
	c.new_addr = n->addr;
	c.old_port = p->key.port[side ^ 1];
	c.new_port = n->port;
	ret = nat_write(skb, p, &c);
	if (ret)
		return ret;
	p->side = ct_key_order(&p->key, &saddr, &c.new_addr, sport, c.new_port);
	return 0;
}

/*
 * An ICMP error about a translated packet: the quoted source becomes the pod's
 * again, and so does the destination of the error. The quoted IPv4 header's
 * checksum moves with its address, so the sum over both stays the same.
 */
__noinline int netdev_error_write(struct __sk_buff *skb, const struct packet *p,
				  const struct packet *quoted,
				  const struct nat_entry *n)
{
	struct nat_change c = {};
	__u32 inner, csum;
	__be16 port;
	__s64 diff;
	__u8 q;

	if (!p || !quoted || !n)
		return -DROP_INVALID;
	inner = (__u32)p->l4_off + 8;
	csum = (__u32)p->l4_off + 2;
	q = quoted->side & 1;
	c.old_addr = quoted->key.addr[q];
	c.new_addr = n->addr;
	port = n->port;
	if (p->family == 4) {
		if (bpf_l3_csum_replace(skb, inner + 10, c.old_addr.w[3],
					c.new_addr.w[3], 4) ||
		    bpf_skb_store_bytes(skb, inner + 12, &c.new_addr.w[3], 4, 0))
			return -DROP_WRITE_ERROR;
	} else {
		diff = bpf_csum_diff((__be32 *)&c.old_addr, 16,
				     (__be32 *)&c.new_addr, 16, 0);
		/* Once for the quoted source, once for the pseudo header. */
		if (bpf_l4_csum_replace(skb, csum, 0, diff, 0) ||
		    bpf_l4_csum_replace(skb, csum, 0, diff, BPF_F_PSEUDO_HDR) ||
		    bpf_skb_store_bytes(skb, inner + 8, &c.new_addr, 16, 0))
			return -DROP_WRITE_ERROR;
	}
	if (bpf_l4_csum_replace(skb, csum, quoted->key.port[q], port, 2) ||
	    bpf_skb_store_bytes(
		    skb, quoted->l4_off + l4_port_off(quoted->key.proto, true),
		    &port, 2, 0))
		return -DROP_WRITE_ERROR;
	return nat_write_address(skb, p, &c);
}

/*
 * The connection behind a mapping is in use, of that port, and allowed, unless
 * the error passes anyway. Returns 0, or a negative drop reason with the
 * verdicts in *f.
 */
__noinline int netdev_error_related(const struct packet *p,
				    const struct packet *quoted,
				    const struct nat_entry *n, struct flow *f)
{
	struct runtime_config *config = runtime_config();
	struct packet own = {};
	struct ct_entry *e;
	__u8 q, side;
	int ret = 0;

	if (!p || !quoted || !n || !f || !config)
		return -DROP_NO_CONFIG;
	q = quoted->side & 1;
	own.family = quoted->family;
	own.key.proto = quoted->key.proto;
	own.side = ct_key_order(&own.key, &n->addr, &quoted->key.addr[q ^ 1],
				n->port, quoted->key.port[q ^ 1]);
	side = own.side & 1;
	f->epoch = config->epoch;
	e = bpf_map_lookup_elem(&cilium_ct_global, &own.key);
	if (!e || ct_expired(e, own.key.proto, bpf_jiffies64()) ||
	    e->leg[side].kind != LEG_POD || e->leg[side].ifindex != n->ifindex ||
	    e->leg[side ^ 1].kind != LEG_WORLD ||
	    e->nat_port != quoted->key.port[q])
		return -DROP_NAT_NO_MAPPING;
	if (e->epoch != f->epoch && !passes_anyway(p))
		ret = related_judge(f, &own, e);
	return ret == RELATED_GONE ? -DROP_NAT_NO_MAPPING : ret;
}

__noinline int netdev_error(struct __sk_buff *skb, const struct packet *p)
{
	struct packet quoted = {};
	struct flow f = {};
	struct nat_entry *n;
	int ret;

	if (!p)
		return TC_ACT_SHOT;
	if (packet_parse_slow(skb, &quoted, (__u32)p->l4_off + 8) ||
	    !quoted.l4_off || !packet_answers(p, &quoted))
		return TC_ACT_OK;
	n = bpf_map_lookup_elem(&cilium_snat, &quoted.key);
	if (!n)
		return TC_ACT_OK;
	ret = netdev_error_related(p, &quoted, n, &f);
	if (!ret)
		ret = netdev_error_write(skb, p, &quoted, n);
	if (ret) {
		/* As it came: for the node's address, about what went out. */
		related_turn(&f, p);
		flow_resolve(&f.end[0], &p->key.addr[0], f.epoch);
		flow_resolve(&f.end[1], &p->key.addr[1], f.epoch);
		return event_drop(skb, p, &f, ret, METRIC_INGRESS,
				  FILE_BPF_HOST, __LINE__);
	}
	metric_count(skb, 0, METRIC_INGRESS);
	return bpf_redirect_peer(n->ifindex, 0);
}

__noinline int from_netdev_slow(struct __sk_buff *skb, struct packet *p)
{
	struct flow f = {};
	struct delivery d = {};
	struct hook h = {
		.own_kind = LEG_POD,
		.file = FILE_BPF_HOST,
		.direction = METRIC_INGRESS,
	};
	__u32 now = bpf_jiffies64();
	struct nat_entry *n;
	__be16 nat_port;
	int ret;

	if (!p)
		return TC_ACT_SHOT;
	if (p->kind != PACKET_PLAIN)
		return TC_ACT_OK;
	n = bpf_map_lookup_elem(&cilium_snat, &p->key);
	if (!n)
		return TC_ACT_OK;
	/* Nobody has used it for a connection's lifetime: not asked for. */
	if (ct_idle(n->last_seen, now, nat_lifetime(p->key.proto))) {
		bpf_map_delete_elem(&cilium_snat, &p->key);
		return TC_ACT_OK;
	}
	n->last_seen = now;
	h.ifindex = n->ifindex;
	nat_port = p->key.port[(p->side & 1) ^ 1];
	ret = netdev_translate(skb, p, n);
	if (!ret) {
		h.own = p->side ^ 1;
		ret = connection_track(skb, p, &f, &h, &d);
	}
	if (!ret && d.kind != LEG_POD)
		ret = -DROP_UNKNOWN_TARGET;
	if (ret)
		return event_drop(skb, p, &f, ret, METRIC_INGRESS,
				  FILE_BPF_HOST, __LINE__);
	/* The entry had been evicted: what the pod sends is translated on. */
	if (d.is_new)
		nat_set_leg(p, p->side, skb->ifindex, nat_port);
	metric_count(skb, 0, METRIC_INGRESS);
	return bpf_redirect_peer(d.ifindex, 0);
}

#define VLAN_ID_MASK 0xfff

/*
 * A frame with VLAN id 0 carries only a priority: the kernel takes the tag off
 * and gives the frame to this device, as if it had none.
 */
static __always_inline bool is_other_vlan(const struct __sk_buff *skb)
{
	return skb->vlan_present && (skb->vlan_tci & VLAN_ID_MASK);
}

/* A second tag with id 0 behind the first: taken off without asking us again. */
static __always_inline bool is_hidden_by_tags(struct __sk_buff *skb)
{
	__be16 tci;

	if (!skb->vlan_present || is_other_vlan(skb))
		return false;
	if (skb->protocol != bpf_htons(ETH_P_8021Q) &&
	    skb->protocol != bpf_htons(ETH_P_8021AD))
		return false;
	return bpf_skb_load_bytes(skb, ETH_HLEN, &tci, sizeof(tci)) ||
	       !(bpf_ntohs(tci) & VLAN_ID_MASK);
}

/* IP on a device that is known; a tagged frame is another device's. */
static __always_inline bool netdev_is_ours(const struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;

	if (is_other_vlan(skb))
		return false;
	if (skb->protocol != bpf_htons(ETH_P_IP) &&
	    skb->protocol != bpf_htons(ETH_P_IPV6))
		return false;
	return bpf_map_lookup_elem(&cilium_devices, &ifindex);
}

SEC("tc")
int cil_from_netdev(struct __sk_buff *skb)
{
	struct packet p;
	int ret;

	if (config_host_firewall && is_hidden_by_tags(skb)) {
		metric_count(skb, DROP_VLAN_FILTERED, METRIC_INGRESS);
		return TC_ACT_SHOT;
	}
	if (!netdev_is_ours(skb))
		return TC_ACT_OK;
	if (packet_parse(skb, &p) == PACKET_SLOW)
		packet_parse_slow(skb, &p, ETH_HLEN);
	ret = p.kind == PACKET_ICMP_ERROR ? netdev_error(skb, &p) :
					    from_netdev_slow(skb, &p);
	/* No pod's, so it may be the node's own. */
	if (config_host_firewall && ret == TC_ACT_OK)
		return host_judge(skb, &p, METRIC_INGRESS);
	return ret;
}

/*
 * A pod's packet, translated: its policy has let it go. It came in by the pod's
 * interface; what the node itself sends came in by none, even if it looks the
 * same.
 */
static __always_inline bool netdev_is_translated(const struct __sk_buff *skb,
						 const struct packet *p)
{
	struct nat_entry *n = bpf_map_lookup_elem(&cilium_snat, &p->key);

	return n && n->ifindex == skb->ingress_ifindex &&
	       !ct_idle(n->last_seen, bpf_jiffies64(),
			nat_lifetime(p->key.proto));
}

SEC("tc")
int cil_to_netdev(struct __sk_buff *skb)
{
	struct packet p;

	if (!config_host_firewall || !netdev_is_ours(skb))
		return TC_ACT_OK;
	if (packet_parse(skb, &p) == PACKET_SLOW)
		packet_parse_slow(skb, &p, ETH_HLEN);
	if (netdev_is_translated(skb, &p))
		return TC_ACT_OK;
	return host_judge(skb, &p, METRIC_EGRESS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
