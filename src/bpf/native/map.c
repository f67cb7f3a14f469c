/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KERNEL_ENOTSUPP 524 /* inside the kernel only, but batches leak it */

int cil_map_create(uint32_t type, const char *name, uint32_t key_size,
		   uint32_t value_size, uint32_t max_entries, uint32_t flags,
		   int inner_fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);

	if (inner_fd >= 0)
		options.inner_map_fd = inner_fd;
	return bpf_map_create(type, name, key_size, value_size, max_entries,
			      &options);
}

/* out: id, type, key size, value size, max entries, flags */
int cil_map_query(int fd, uint32_t *out, char *name)
{
	struct bpf_map_info answer = {};
	uint32_t size = sizeof(answer);
	int error = bpf_obj_get_info_by_fd(fd, &answer, &size);

	if (error)
		return error;
	out[0] = answer.id;
	out[1] = answer.type;
	out[2] = answer.key_size;
	out[3] = answer.value_size;
	out[4] = answer.max_entries;
	out[5] = answer.map_flags;
	memcpy(name, answer.name, sizeof(answer.name));
	return 0;
}

/* The errors with which a kernel says that this kind of map has no batches. */
static int lacks_batch(int error)
{
	return error == -EINVAL || error == -EOPNOTSUPP ||
	       error == -KERNEL_ENOTSUPP || error == -ENOSYS;
}

int cil_map_update_batch(int fd, const void *keys, uint32_t key_size,
			 const void *values, uint32_t value_size,
			 uint32_t count, uint64_t flags)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = flags);
	uint32_t updated = count;
	int error = bpf_map_update_batch(fd, keys, values, &updated, &options);

	if (!lacks_batch(error))
		return error;
	for (uint32_t i = 0; i < count; i++) {
		error = bpf_map_update_elem(
			fd, (const char *)keys + (size_t)i * key_size,
			(const char *)values + (size_t)i * value_size, flags);
		if (error)
			return error;
	}
	return 0;
}

/* Absent keys are no error, so a batch that stops at one is finished singly. */
int cil_map_delete_batch(int fd, const void *keys, uint32_t key_size,
			 uint32_t count)
{
	uint32_t deleted = count;
	int error = bpf_map_delete_batch(fd, keys, &deleted, NULL);

	if (!lacks_batch(error) && error != -ENOENT)
		return error;
	for (uint32_t i = 0; i < count; i++) {
		error = bpf_map_delete_elem(fd, (const char *)keys +
							(size_t)i * key_size);
		if (error && error != -ENOENT)
			return error;
	}
	return 0;
}

struct update {
	int fd;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t count;
	uint32_t *done;
	char *values;
	char keys[];
};

static void *run_update(void *argument)
{
	struct update *update = argument;
	int error = cil_map_update_batch(update->fd, update->keys,
					 update->key_size, update->values,
					 update->value_size, update->count, 0);

	close(update->fd);
	__atomic_store_n(update->done,
			 error ? 0x80000000u | (uint32_t)-error : 1,
			 __ATOMIC_RELEASE);
	free(update);
	return NULL;
}

/*
 * An update of a map of maps waits for a grace period of RCU, milliseconds,
 * though packets obey after microseconds. This waits elsewhere: *done becomes
 * 1, or 0x80000000 with the errno. The arguments are copied; the caller keeps
 * only *done alive.
 */
int cil_map_update_batch_async(int fd, const void *keys, uint32_t key_size,
			       const void *values, uint32_t value_size,
			       uint32_t count, uint32_t *done)
{
	size_t key_bytes = (size_t)key_size * count;
	size_t value_bytes = (size_t)value_size * count;
	struct update *update = malloc(sizeof(*update) + key_bytes + value_bytes);
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	if (!update)
		return -ENOMEM;
	*update = (struct update){ dup(fd), key_size, value_size, count, done };
	update->values = update->keys + key_bytes;
	memcpy(update->keys, keys, key_bytes);
	memcpy(update->values, values, value_bytes);
	if (update->fd < 0) {
		error = errno;
		free(update);
		return -error;
	}
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	error = pthread_create(&thread, &attributes, run_update, update);
	pthread_attr_destroy(&attributes);
	if (error) {
		close(update->fd);
		free(update);
	}
	return -error;
}
