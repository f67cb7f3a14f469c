// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Housekeeping in the kernel. cil_ct_sweep runs over the conntrack table as an
 * iterator: each read() of user space visits as many entries as it asks bytes
 * for, so no run holds a core for long and the next one goes on where this one
 * ended. Copying half a million entries out to judge them would cost more.
 */

#include "conntrack.h"

struct seq_file;
struct bpf_map;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} __attribute__((preserve_access_index));

/* One byte an entry: what was found. */
enum sweep_result {
	SWEEP_LIVE = 0,
	SWEEP_EXPIRED = 1,
};

SEC("iter/bpf_map_elem")
int cil_ct_sweep(struct bpf_iter__bpf_map_elem *ctx)
{
	struct ct_key *key = ctx->key;
	struct ct_entry *e = ctx->value;
	__u32 now = bpf_jiffies64();
	__u8 result = SWEEP_LIVE;
	struct ct_key copy;

	if (!key || !e)
		return 0;
	if (ct_expired(e, key->proto, now)) {
		__builtin_memcpy(&copy, key, sizeof(copy));
		/*
		 * What is under the key now, right before it goes: the element
		 * may be another connection's, or have been used. A packet in
		 * between is lost to the entry; the next one is judged anew.
		 */
		e = bpf_map_lookup_elem(&cilium_ct_global, &copy);
		if (e && ct_expired(e, copy.proto, now)) {
			bpf_map_delete_elem(&cilium_ct_global, &copy);
			result = SWEEP_EXPIRED;
		}
	}
	bpf_seq_write(ctx->meta->seq, &result, sizeof(result));
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
