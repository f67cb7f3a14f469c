/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "maps.h"

/* What a policy said about one direction, for the conntrack entry and events. */
struct verdict {
	__u32 cookie;
	__u8 match_type;
	__u8 judged; /* the direction is enforced */
	__u8 denied;
	__u8 pad;
};

/* The peer as policy sees it. */
struct peer {
	__u32 identity;
	__u32 address_set;
};

/* One end of a connection while it is being judged. */
struct flow_end {
	struct peer peer;
	__u32 policy_id;
	__u32 ifindex;
	__u16 endpoint_id;
	__u8 kind; /* enum leg_kind; LEG_NONE: nothing lives at the address */
	__u8 pad;
};

static __always_inline __u32 policy_class(const struct peer *peer, __u32 bank)
{
	struct identity_class_key key = {
		.identity = peer->identity,
		.address_set = peer->address_set,
	};
	struct identity_class *c = bpf_map_lookup_elem(&cilium_identity_class,
						       &key);

	return c ? c->class_id[bank & 1] : CLASS_NONE;
}

/* Direction, protocol and port of a question to policy, in one register. */
#define POLICY_ASK(direction, proto, port)                                     \
	((__u32)(direction) << 24 | (__u32)(proto) << 16 | (__be16)(port))

/*
 * Ask the policy of one end about the other. The port is the destination port,
 * or the ICMP type. An entry of the peer's class is final: whatever wildcard
 * entries say about it is already in it. Returns 0 or a negative drop reason.
 */
__noinline int policy_check(struct verdict *v, const struct flow_end *own,
			    const struct flow_end *peer, __u32 ask, __u32 epoch)
{
	bool egress = ask >> 24 == POLICY_EGRESS;
	__u32 enforce = egress ? POLICY_ENFORCE_EGRESS : POLICY_ENFORCE_INGRESS;
	__u32 classes = egress ? POLICY_CLASSES_EGRESS : POLICY_CLASSES_INGRESS;
	__u32 wildcard = egress ? POLICY_WILDCARD_EGRESS :
				  POLICY_WILDCARD_INGRESS;
	struct policy_config *config;
	struct policy_entry *entry = NULL;
	struct policy_key key = {
		.prefixlen = POLICY_STATIC_BITS + 24,
		.direction = ask >> 24,
		.proto = ask >> 16,
		.port = ask,
	};
	__u32 slot;
	void *map;

	if (!v || !own || !peer)
		return -DROP_NO_CONFIG;
	v->judged = 1;
	v->denied = 1;
	v->cookie = 0;
	v->match_type = POLICY_MATCH_NONE;

	slot = (epoch & 1) * POLICY_IDS_MAX +
	       (own->policy_id & (POLICY_IDS_MAX - 1));
	config = bpf_map_lookup_elem(&cilium_policy_config, &slot);
	if (!config || !(config->flags & POLICY_VALID))
		return -DROP_EP_NOT_READY;
	if (!(config->flags & enforce)) {
		v->judged = 0;
		v->denied = 0;
		return 0;
	}
	v->cookie = config->deny_cookie[egress];
	if (!(config->flags & (classes | wildcard)))
		return -DROP_POLICY;

	map = bpf_map_lookup_elem(&cilium_policy_v2, &slot);
	if (!map)
		return -DROP_EP_NOT_READY;
	if (config->flags & classes) {
		key.class_id = policy_class(&peer->peer, epoch);
		if (key.class_id != CLASS_NONE)
			entry = bpf_map_lookup_elem(map, &key);
	}
	if (!entry && config->flags & wildcard) {
		key.class_id = CLASS_ANY;
		entry = bpf_map_lookup_elem(map, &key);
	}
	if (!entry)
		return -DROP_POLICY;

	v->cookie = entry->cookie;
	v->match_type = entry->match_type;
	if (entry->flags & POLICY_ENTRY_DENY)
		return -DROP_POLICY_DENY;
	v->denied = 0;
	return 0;
}
