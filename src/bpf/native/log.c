/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/*
 * What libbpf prints. Its callback takes a va_list, which JavaScript cannot
 * receive, so lines are formatted here and fetched afterwards. When nobody
 * fetches, the oldest text stays and the rest is counted.
 */
#define LOG_BYTES 16384

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[LOG_BYTES];
static size_t used;
static uint32_t lost;

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
	int length;

	if (level == LIBBPF_DEBUG)
		return 0;
	pthread_mutex_lock(&lock);
	length = vsnprintf(text + used, sizeof(text) - used, format, args);
	if (length >= 0 && used + length < sizeof(text))
		used += length;
	else
		lost++;
	text[used] = '\0';
	pthread_mutex_unlock(&lock);
	return 0;
}

int cil_start(void)
{
	libbpf_set_print(print);
	return libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
}

uint32_t cil_log_take(char *into, uint32_t size, uint32_t *lost_lines)
{
	uint32_t length;

	pthread_mutex_lock(&lock);
	length = used < size ? used : size;
	memcpy(into, text, length);
	*lost_lines = lost;
	used = 0;
	lost = 0;
	text[0] = '\0';
	pthread_mutex_unlock(&lock);
	return length;
}
