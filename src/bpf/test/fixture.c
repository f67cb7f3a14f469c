/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs and maps for the tests of src/bpf/libbpf: one of each kind. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

const volatile __u32 config_answer = 7;
const volatile __u8 config_bytes[6] = {};

struct count_key {
	__u32 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct count_key);
	__type(value, __u64);
	__uint(max_entries, 4096);
} fixture_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} fixture_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} fixture_lost SEC(".maps");

struct fixture_inner {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, __u64);
	__type(value, __u32);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 64);
	__type(key, __u32);
	__array(values, struct fixture_inner);
} fixture_outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
} fixture_shared SEC(".maps");

/* Emits one event of (length, number of events so far) and counts it. */
SEC("tc")
int fixture_emit(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *event = bpf_ringbuf_reserve(&fixture_events, 16, 0);
	__u64 *shared = bpf_map_lookup_elem(&fixture_shared, &zero);
	__u64 *lost = bpf_map_lookup_elem(&fixture_lost, &zero);

	if (!shared || !lost) {
		if (event)
			bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		return -1;
	}
	if (!event) {
		*lost += 1;
		return -1;
	}
	event[0] = skb->len;
	event[1] = (*shared)++;
	/* Every third is thrown away, so that readers meet discarded records. */
	if (event[1] % 3 == 2)
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return config_answer;
}

struct fixture_arguments {
	__u32 add;
	__u32 result;
};

SEC("syscall")
int fixture_add(struct fixture_arguments *arguments)
{
	arguments->result = arguments->add + config_answer + config_bytes[5];
	return 0;
}

SEC("iter/bpf_map_elem")
int fixture_walk(void *context)
{
	return 0;
}

/* Only in the object that is to fail: reads past the packet. */
SEC("?tc")
int fixture_refused(struct __sk_buff *skb)
{
	return *(__u8 *)(long)skb->data;
}

char _license[] SEC("license") = "Dual BSD/GPL";
