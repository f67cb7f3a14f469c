/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What src/bpf/libbpf/ffi.ts calls beside libbpf itself: functions with flat
 * arguments, so that the C compiler and not a hand-typed offset lays out
 * libbpf's option structs; and the few loops and threads that belong in C.
 * Functions return 0 or more, or a negative errno.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stddef.h>
#include <stdint.h>

int cil_start(void);
uint32_t cil_log_take(char *into, uint32_t size, uint32_t *lost_lines);

int cil_object_open(const void *bytes, uint64_t size, const char *name,
		    void **object);
const char *cil_verifier_log(void);

int cil_program_load(uint32_t type, const char *name, const void *insns,
		     uint32_t count);
int cil_program_query(int fd, uint64_t *out);
int cil_program_test_run(int fd, const void *data_in, uint32_t data_in_size,
			 void *data_out, uint32_t data_out_size,
			 const void *ctx_in, uint32_t ctx_in_size, void *ctx_out,
			 uint32_t ctx_out_size, int repeat, uint32_t *out);

int cil_map_create(uint32_t type, const char *name, uint32_t key_size,
		   uint32_t value_size, uint32_t max_entries, uint32_t flags,
		   int inner_fd);
int cil_map_query(int fd, uint32_t *out, char *name);
int cil_map_update_batch(int fd, const void *keys, uint32_t key_size,
			 const void *values, uint32_t value_size,
			 uint32_t count, uint64_t flags);
int cil_map_delete_batch(int fd, const void *keys, uint32_t key_size,
			 uint32_t count);
int cil_map_update_batch_async(int fd, const void *keys, uint32_t key_size,
			       const void *values, uint32_t value_size,
			       uint32_t count, uint32_t *done);

int cil_link_create(int program_fd, int target, uint32_t attach_type);
int cil_link_create_map_iter(int program_fd, int map_fd);
int cil_link_query(int fd, uint32_t *out);
int cil_tc_attach(int ifindex, int egress, int program_fd, uint32_t priority,
		  uint32_t handle);
int cil_tc_detach(int ifindex, int egress, uint32_t priority, uint32_t handle);
int cil_tc_query(int ifindex, int egress, uint32_t priority, uint32_t handle);
