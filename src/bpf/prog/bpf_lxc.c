// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The programs of a pod's interface, one set for all pods: what differs is a
 * row in cilium_lxc. cil_from_container sees what the pod sends and delivers
 * it in one pass; cil_to_container sees what reaches the pod through the
 * node's own stack, which is everything not delivered by a redirect.
 */

#include "connection.h"
#include "discovery.h"

/*
 * The established path, inline in both programs. The entry itself is the check
 * against spoofing: only the interface in it may use it.
 */
static __always_inline struct ct_entry *
established(const struct __sk_buff *skb, const struct packet *p, __u8 own)
{
	struct runtime_config *config = runtime_config();
	__u8 side = p->side & 1;
	struct ct_entry *e;
	__u32 now;

	if (p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
		return NULL;
	e = bpf_map_lookup_elem(&cilium_ct_global, &p->key);
	if (!e || !config || e->epoch != config->epoch)
		return NULL;
	if (e->leg[own & 1].ifindex != skb->ifindex ||
	    e->leg[own & 1].kind != LEG_POD)
		return NULL;
	/* What goes on after a RST did not end. */
	if (e->flags & CT_RESET)
		return NULL;
	/* The first answer is news; so is the first packet after the SYN. */
	if (!(e->flags & CT_SEEN_REPLY) && side != (e->flags & CT_INITIATOR))
		return NULL;
	if (p->key.proto == IPPROTO_TCP && !(e->flags & CT_SEEN_NON_SYN))
		return NULL;
	now = bpf_jiffies64();
	if (e->last_seen != now) {
		if (ct_idle(e->last_seen, now, config_ct_fresh))
			return NULL;
		e->last_seen = now;
	}
	return e;
}

__noinline int from_container_slow(struct __sk_buff *skb, struct packet *p)
{
	struct flow f = {};
	struct delivery d = {};
	struct hook h = {
		.ifindex = skb->ifindex,
		.own_kind = LEG_POD,
		.from_pod = 1,
		.file = FILE_BPF_LXC,
		.direction = METRIC_EGRESS,
	};
	int ret;

	if (!p)
		return TC_ACT_SHOT;
	if (is_tagged(skb)) {
		/* Parsed for the sake of the event. */
		packet_parse_slow(skb, p, ETH_HLEN);
		ret = -DROP_VLAN_FILTERED;
		goto drop;
	}
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return discovery_arp(skb);
	if (p->kind == PACKET_SLOW) {
		ret = packet_parse_slow(skb, p, ETH_HLEN);
		if (p->family == 6 &&
		    addr_is_multicast(&p->key.addr[(p->side & 1) ^ 1], 6) &&
		    p->kind != PACKET_ND)
			goto multicast;
		if (ret)
			goto drop;
	}
	if (p->kind == PACKET_ND)
		return discovery_nd(skb, p);
	if (addr_is_multicast(&p->key.addr[(p->side & 1) ^ 1], p->family))
		goto multicast;
	h.own = p->side;

	if (p->kind == PACKET_ICMP_ERROR)
		ret = connection_related(skb, p, &f, &h, &d);
	else
		ret = connection_track(skb, p, &f, &h, &d);
	if (ret)
		goto drop;
	if (d.is_new && d.kind == LEG_STACK) {
		ret = nat_open(skb, p, &f.end[p->side & 1], &d);
		if (ret) {
			bpf_map_delete_elem(&cilium_ct_global, &p->key);
			goto drop;
		}
	}
	if (d.kind == LEG_WORLD) {
		ret = nat_forward(skb, p, d.ifindex, d.nat_port);
		if (ret < 0)
			goto drop;
	}
	metric_count(skb, 0, METRIC_EGRESS);
	if (d.kind == LEG_POD)
		return bpf_redirect_peer(d.ifindex, 0);
	return d.kind == LEG_WORLD ? ret : TC_ACT_OK;

multicast:
	/* Chatter of every stack at start: counted, not told. */
	metric_count(skb, DROP_MULTICAST_HANDLED, METRIC_EGRESS);
	return TC_ACT_SHOT;
drop:
	/* Egress was judged first; denied after it means ingress denied. */
	if (f.verdict[POLICY_INGRESS].denied)
		h.direction = METRIC_INGRESS;
	if (flow_host_denies(&f))
		h.file = FILE_BPF_HOST;
	return event_drop(skb, p, &f, ret, h.direction, h.file, __LINE__);
}

SEC("tc")
int cil_from_container(struct __sk_buff *skb)
{
	struct packet p;

	if (likely(packet_parse(skb, &p) == PACKET_PLAIN && !skb->vlan_present)) {
		struct ct_entry *e = established(skb, &p, p.side);

		if (likely(e)) {
			struct ct_leg *to = &e->leg[(p.side & 1) ^ 1];

			if (likely(to->kind == LEG_POD)) {
				metric_count(skb, 0, METRIC_EGRESS);
				return bpf_redirect_peer(to->ifindex, 0);
			}
			if (to->kind != LEG_WORLD) {
				metric_count(skb, 0, METRIC_EGRESS);
				return TC_ACT_OK;
			}
		}
	}
	return from_container_slow(skb, &p);
}

__noinline int to_container_slow(struct __sk_buff *skb, struct packet *p)
{
	struct flow f = {};
	struct delivery d = {};
	struct hook h = {
		.ifindex = skb->ifindex,
		.own_kind = LEG_POD,
		.file = FILE_BPF_LXC,
		.direction = METRIC_INGRESS,
	};
	int ret;

	if (!p)
		return TC_ACT_SHOT;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return TC_ACT_OK;
	if (p->kind == PACKET_SLOW) {
		ret = packet_parse_slow(skb, p, ETH_HLEN);
		if (ret)
			goto drop;
	}
	if (p->kind == PACKET_ND)
		return discovery_nd_to_pod(skb, p);
	if (addr_is_multicast(&p->key.addr[(p->side & 1) ^ 1], p->family)) {
		metric_count(skb, DROP_MULTICAST_HANDLED, METRIC_INGRESS);
		return TC_ACT_SHOT;
	}
	h.own = p->side ^ 1;

	if (p->kind == PACKET_ICMP_ERROR)
		ret = connection_related(skb, p, &f, &h, &d);
	else
		ret = connection_track(skb, p, &f, &h, &d);
	/* What is related must be for the pod behind this interface. */
	if (!ret && (d.kind != LEG_POD || d.ifindex != h.ifindex))
		ret = -DROP_INVALID;
	if (ret)
		goto drop;
	metric_count(skb, 0, METRIC_INGRESS);
	return TC_ACT_OK;
drop:
	if (flow_host_denies(&f)) {
		h.file = FILE_BPF_HOST;
		if (!f.verdict[POLICY_INGRESS].denied)
			h.direction = METRIC_EGRESS;
	}
	return event_drop(skb, p, &f, ret, h.direction, h.file, __LINE__);
}

SEC("tc")
int cil_to_container(struct __sk_buff *skb)
{
	struct packet p;

	if (likely(packet_parse(skb, &p) == PACKET_PLAIN)) {
		struct ct_entry *e = established(skb, &p, p.side ^ 1);

		/* Pods do not come by here: that one gets a closer look. */
		if (likely(e) && e->leg[p.side & 1].kind != LEG_POD) {
			metric_count(skb, 0, METRIC_INGRESS);
			return TC_ACT_OK;
		}
	}
	return to_container_slow(skb, &p);
}

char _license[] SEC("license") = "Dual BSD/GPL";
