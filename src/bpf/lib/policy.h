/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "config.h"
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

enum flow_end_flags {
	FLOW_END_IPV6 = 1,
	FLOW_END_AUDIT = 2, /* what its policy denies goes on */
};

/* One end of a connection while it is being judged. */
struct flow_end {
	struct peer peer;
	__u32 policy_id;
	__u32 ifindex;
	__u16 endpoint_id;
	__u8 kind; /* enum leg_kind; LEG_NONE: nothing lives at the address */
	__u8 flags; /* enum flow_end_flags */
};

/* Who the peer is for policy, or NULL while that is not known yet. */
static __always_inline struct identity_class *
policy_class(const struct flow_end *end)
{
	struct identity_class_key key = {
		.identity = end->peer.identity,
		.address_set = end->peer.address_set,
	};

	if (key.identity >> IDENTITY_SCOPE_SHIFT == IDENTITY_SCOPE_LOCAL)
		key.identity = end->flags & FLOW_END_IPV6 ?
				       config_world_identity_ipv6 :
				       config_world_identity_ipv4;
	return bpf_map_lookup_elem(&cilium_identity_class, &key);
}

/* Direction, protocol and port of a question to policy, in one register. */
#define POLICY_ASK(direction, proto, port)                                     \
	((__u32)(direction) << 24 | (__u32)(proto) << 16 | (__be16)(port))

/* The bits of a policy's flags that are about one direction. */
struct policy_direction_flags {
	__u32 enforce;
	__u32 classes;
	__u32 groups;
	__u32 wildcard;
};

static __always_inline struct policy_direction_flags
policy_direction_flags(bool egress)
{
	struct policy_direction_flags ingress_flags = {
		.enforce = POLICY_ENFORCE_INGRESS,
		.classes = POLICY_CLASSES_INGRESS,
		.groups = POLICY_GROUPS_INGRESS,
		.wildcard = POLICY_WILDCARD_INGRESS,
	};
	struct policy_direction_flags egress_flags = {
		.enforce = POLICY_ENFORCE_EGRESS,
		.classes = POLICY_CLASSES_EGRESS,
		.groups = POLICY_GROUPS_EGRESS,
		.wildcard = POLICY_WILDCARD_EGRESS,
	};

	return egress ? egress_flags : ingress_flags;
}

static __always_inline struct policy_entry *
policy_entry_of(void *map, struct policy_key *key, __u32 class_id)
{
	if (class_id == CLASS_NONE)
		return NULL;
	key->class_id = class_id;
	return bpf_map_lookup_elem(map, key);
}

static __always_inline __u32 policy_slot(const struct flow_end *own, __u32 epoch)
{
	return (epoch & 1) * POLICY_IDS_MAX +
	       (own->policy_id & (POLICY_IDS_MAX - 1));
}

/*
 * Ask the policy of one end about the other. The port is the destination port,
 * or the ICMP type. The peer's class is asked first, then its group, then the
 * wildcard; the first entry is final: whatever the wider ones say about this
 * peer is already in it. Returns 0 or a negative drop reason.
 */
__noinline int policy_check(struct verdict *v, const struct flow_end *own,
			    const struct flow_end *peer, __u32 ask, __u32 epoch)
{
	bool egress = ask >> 24 == POLICY_EGRESS;
	struct policy_direction_flags has = policy_direction_flags(egress);
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

	slot = policy_slot(own, epoch);
	config = bpf_map_lookup_elem(&cilium_policy_config, &slot);
	if (!config || !(config->flags & POLICY_VALID))
		return -DROP_EP_NOT_READY;
	if (!(config->flags & has.enforce)) {
		v->judged = 0;
		v->denied = 0;
		return 0;
	}
	v->cookie = config->deny_cookie[egress];
	if (!(config->flags & (has.classes | has.groups | has.wildcard)))
		return -DROP_POLICY;

	map = bpf_map_lookup_elem(&cilium_policy_v2, &slot);
	if (!map)
		return -DROP_EP_NOT_READY;
	if (config->flags & (has.classes | has.groups)) {
		struct identity_class *c = policy_class(peer);

		/* Not known yet: some rule may well speak about it. */
		if (!c) {
			v->cookie = 0;
			return -DROP_EP_NOT_READY;
		}
		if (config->flags & has.classes)
			entry = policy_entry_of(map, &key,
						c->class_id[epoch & 1]);
		if (!entry && config->flags & has.groups)
			entry = policy_entry_of(map, &key,
						c->group_id[epoch & 1]);
	}
	if (!entry && config->flags & has.wildcard)
		entry = policy_entry_of(map, &key, CLASS_ANY);
	if (!entry)
		return -DROP_POLICY;

	v->cookie = entry->cookie;
	if (entry->flags & POLICY_ENTRY_DEFAULT)
		return -DROP_POLICY;
	v->match_type = entry->match_type;
	if (entry->flags & POLICY_ENTRY_DENY)
		return -DROP_POLICY_DENY;
	v->denied = 0;
	return 0;
}
