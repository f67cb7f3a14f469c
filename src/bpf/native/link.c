/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <errno.h>
#include <string.h>

int cil_link_create(int program_fd, int target, uint32_t attach_type)
{
	return bpf_link_create(program_fd, target, attach_type, NULL);
}

int cil_link_create_map_iter(int program_fd, int map_fd)
{
	union bpf_iter_link_info map = { .map.map_fd = map_fd };
	LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &map,
		    .iter_info_len = sizeof(map));

	return bpf_link_create(program_fd, 0, BPF_TRACE_ITER, &options);
}

/*
 * out: type, id, program id, 0, then the kind's own words: for tcx the
 * interface index and the attach type. Read as words, because the headers
 * that this is built with may be older than tcx.
 */
int cil_link_query(int fd, uint32_t *out)
{
	struct bpf_link_info answer = {};
	uint32_t size = sizeof(answer);
	int error = bpf_obj_get_info_by_fd(fd, &answer, &size);

	if (error)
		return error;
	memcpy(out, &answer, 24);
	return 0;
}

static struct bpf_tc_hook hook_of(int ifindex, int egress)
{
	return (struct bpf_tc_hook){
		.sz = sizeof(struct bpf_tc_hook),
		.ifindex = ifindex,
		.attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS,
	};
}

int cil_tc_attach(int ifindex, int egress, int program_fd, uint32_t priority,
		  uint32_t handle)
{
	struct bpf_tc_hook hook = hook_of(ifindex, egress);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd,
		    .flags = BPF_TC_F_REPLACE, .priority = priority,
		    .handle = handle);
	int error = bpf_tc_hook_create(&hook);

	if (error && error != -EEXIST)
		return error;
	return bpf_tc_attach(&hook, &options);
}

int cil_tc_detach(int ifindex, int egress, uint32_t priority, uint32_t handle)
{
	struct bpf_tc_hook hook = hook_of(ifindex, egress);
	LIBBPF_OPTS(bpf_tc_opts, options, .priority = priority,
		    .handle = handle);

	return bpf_tc_detach(&hook, &options);
}

/* The id of the program that is attached there. */
int cil_tc_query(int ifindex, int egress, uint32_t priority, uint32_t handle)
{
	struct bpf_tc_hook hook = hook_of(ifindex, egress);
	LIBBPF_OPTS(bpf_tc_opts, options, .priority = priority,
		    .handle = handle);
	int error = bpf_tc_query(&hook, &options);

	return error ? error : (int)options.prog_id;
}
