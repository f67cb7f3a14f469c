/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for the verifier's log; touched, and so paid for, only on a failure. */
#define VERIFIER_LOG_BYTES (16 << 20)

static __thread char *verifier_log;

int cil_object_open(const void *bytes, uint64_t size, const char *name,
		    void **object)
{
	struct bpf_object *opened;

	if (!verifier_log)
		verifier_log = malloc(VERIFIER_LOG_BYTES);
	if (!verifier_log)
		return -ENOMEM;
	verifier_log[0] = '\0';

	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name,
		    .kernel_log_buf = verifier_log,
		    .kernel_log_size = VERIFIER_LOG_BYTES);
	opened = bpf_object__open_mem(bytes, size, &options);
	if (!opened)
		return -errno;
	*object = opened;
	return 0;
}

const char *cil_verifier_log(void)
{
	return verifier_log ? verifier_log : "";
}

int cil_program_load(uint32_t type, const char *name, const void *insns,
		     uint32_t count)
{
	return bpf_prog_load(type, name, "Dual BSD/GPL", insns, count, NULL);
}

/* out: id, type, verified instructions, runs, run time, translated, jited, tag */
int cil_program_query(int fd, uint64_t *out)
{
	struct bpf_prog_info answer = {};
	uint32_t size = sizeof(answer);
	int error = bpf_obj_get_info_by_fd(fd, &answer, &size);

	if (error)
		return error;
	out[0] = answer.id;
	out[1] = answer.type;
	out[2] = answer.verified_insns;
	out[3] = answer.run_cnt;
	out[4] = answer.run_time_ns;
	out[5] = answer.xlated_prog_len;
	out[6] = answer.jited_prog_len;
	memcpy(&out[7], answer.tag, sizeof(answer.tag));
	return 0;
}

/* out: return value, nanoseconds a run, bytes of data out, bytes of context out */
int cil_program_test_run(int fd, const void *data_in, uint32_t data_in_size,
			 void *data_out, uint32_t data_out_size,
			 const void *ctx_in, uint32_t ctx_in_size, void *ctx_out,
			 uint32_t ctx_out_size, int repeat, uint32_t *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = data_in,
		    .data_size_in = data_in_size, .data_out = data_out,
		    .data_size_out = data_out_size, .ctx_in = ctx_in,
		    .ctx_size_in = ctx_in_size, .ctx_out = ctx_out,
		    .ctx_size_out = ctx_out_size, .repeat = repeat);
	int error = bpf_prog_test_run_opts(fd, &options);

	out[0] = options.retval;
	out[1] = options.duration;
	out[2] = options.data_size_out;
	out[3] = options.ctx_size_out;
	return error;
}
