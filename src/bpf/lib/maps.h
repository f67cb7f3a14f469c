/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "bpf.h"

/*
 * Every map, pinned by its name and shared by all programs. Sizes are the
 * defaults; the loader sets those that have an option.
 */

#define MAP(name_, type_, key_, value_, entries_, flags_)                      \
	struct {                                                               \
		__uint(type, type_);                                           \
		__type(key, key_);                                             \
		__type(value, value_);                                         \
		__uint(max_entries, entries_);                                 \
		__uint(map_flags, flags_);                                     \
	} name_ SEC(".maps")

/* Interface index → endpoint: who sent this, when its address does not tell. */
MAP(cilium_endpoints, BPF_MAP_TYPE_HASH, __u32, struct endpoint, 65535,
    BPF_F_NO_PREALLOC);

/* Address → endpoint on this node. */
MAP(cilium_lxc, BPF_MAP_TYPE_HASH, union addr, struct endpoint, 131070,
    BPF_F_NO_PREALLOC);

/* Address or prefix → identity. */
MAP(cilium_ipcache_v2, BPF_MAP_TYPE_LPM_TRIE, struct ipcache_key,
    struct ipcache_entry, 512000, BPF_F_NO_PREALLOC);

/* Address or prefix → the set of CIDRs in use that contain it. */
MAP(cilium_address_sets, BPF_MAP_TYPE_LPM_TRIE, struct ipcache_key,
    struct address_set, 512000, BPF_F_NO_PREALLOC);

/* Identity → peer class, in both banks. Absent: not known yet, denied. */
MAP(cilium_identity_class, BPF_MAP_TYPE_HASH, struct identity_class_key,
    struct identity_class, 524288, BPF_F_NO_PREALLOC);

/* What holds for a policy as a whole; slot = bank * POLICY_IDS_MAX + id. */
MAP(cilium_policy_config, BPF_MAP_TYPE_ARRAY, __u32, struct policy_config,
    POLICY_BANKS *POLICY_IDS_MAX, 0);

/* The same slot → the entries of the policy. */
struct policy_map {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	/* libbpf cannot follow a type through a nested definition. */
	__uint(key_size, sizeof(struct policy_key));
	__uint(value_size, sizeof(struct policy_entry));
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, POLICY_BANKS *POLICY_IDS_MAX);
	__type(key, __u32);
	__array(values, struct policy_map);
} cilium_policy_v2 SEC(".maps");

/* One entry a connection, both directions, all protocols. */
MAP(cilium_ct_global, BPF_MAP_TYPE_LRU_HASH, struct ct_key, struct ct_entry,
    262144, 0);

/* The translated side of connections to the world. */
MAP(cilium_snat, BPF_MAP_TYPE_LRU_HASH, struct ct_key, struct nat_entry, 65536,
    0);

/* Native devices by interface index. */
MAP(cilium_devices, BPF_MAP_TYPE_HASH, __u32, struct device, 256,
    BPF_F_NO_PREALLOC);

MAP(cilium_fragments, BPF_MAP_TYPE_LRU_HASH, struct fragment_key,
    struct fragment_entry, 8192, 0);

/* What changes while programs run; written by the agent through its mapping. */
MAP(cilium_runtime_config, BPF_MAP_TYPE_ARRAY, __u32, struct runtime_config, 1,
    BPF_F_MMAPABLE);

/* Packets by reason * 4 + direction; reason 0 is "forwarded". */
MAP(cilium_metrics, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct metric, 1024, 0);

/* Read from the mapping on a timer, never waking the reader. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} cilium_events SEC(".maps");

/* Events that found the ring full. */
MAP(cilium_events_lost, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, 1, 0);

static __always_inline struct runtime_config *runtime_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cilium_runtime_config, &zero);
}
