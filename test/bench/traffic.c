/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for the benchmarks of the datapath, in C because a request takes 16 us and nothing else may
 * show in it. Four roles:
 *
 *   serve <cpu> <fifo>                    echoes on TCP and UDP, swallows a stream
 *   client <address> <cpu> <fifo>         commands on stdin, a line of JSON for each:
 *                                         rr|crr|udp|stream <milliseconds>, flood <packets> <flows>
 *   probe <netns> <netns> <address>       a packet every 0.2 ms from the first namespace to the
 *                                         second; rename <from> <to> <want>, unlink <path> <want>:
 *                                         nanoseconds until packets pass (1) or do not (0)
 *   watch <pinned map> <cpu>              rename <from> <to> <key in hex>: nanoseconds until the
 *                                         first word of the value that the key finds is another
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	first_port = 8000,
	crr_ports = 15, /* several, so that no pair of ports comes again while it lingers */
	stream_port = 8015,
	probe_interval_ns = 200000,
	probe_steady = 25, /* packets in a row that make a verdict */
	probe_limit_ns = 2000000000,
	watch_interval_ns = 50000,
	map_bytes_max = 256,
	stream_chunk = 128 << 10,
	samples_max = 1 << 20,
};

static uint32_t samples[samples_max];

static void die(const char *doing)
{
	fprintf(stderr, "traffic: %s: %s\n", doing, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000ull + at.tv_nsec;
}

static void settle_on(int cpu, int fifo)
{
	struct sched_param priority = { .sched_priority = 10 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (cpu >= 0 && sched_setaffinity(0, sizeof(cpus), &cpus))
		die("sched_setaffinity");
	if (fifo && sched_setscheduler(0, SCHED_FIFO, &priority))
		die("sched_setscheduler");
}

static struct sockaddr_in address_of(const char *text, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port) };

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
		fprintf(stderr, "traffic: %s is no address\n", text);
		exit(1);
	}
	return address;
}

static void set(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)))
		die("setsockopt");
}

/* The machine's default may be bbr, whose pacing would be measured. */
static void congestion(int fd, const char *name)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)))
		die("set congestion control");
}

static int open_socket(int type, const struct sockaddr_in *local)
{
	int fd = socket(AF_INET, type, 0);

	if (fd < 0)
		die("socket");
	if (!local)
		return fd;
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind(fd, (const void *)local, sizeof(*local)))
		die("bind");
	return fd;
}

static void serve_tcp(int port)
{
	struct sockaddr_in local = address_of("0.0.0.0", port);
	static char buffer[stream_chunk];
	int listener = open_socket(SOCK_STREAM, &local);

	congestion(listener, port == stream_port ? "cubic" : "reno");
	if (listen(listener, 128))
		die("listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (port != stream_port)
			set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		for (;;) {
			ssize_t length = read(fd, buffer, sizeof(buffer));

			if (length <= 0)
				break;
			if (port != stream_port && write(fd, buffer, 1) != 1)
				break;
		}
		close(fd);
	}
}

static void serve_udp(void)
{
	struct sockaddr_in local = address_of("0.0.0.0", first_port);
	int fd = open_socket(SOCK_DGRAM, &local);
	char buffer[2048];

	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t length = recvfrom(fd, buffer, sizeof(buffer), 0,
					  (void *)&from, &size);

		if (length > 0)
			sendto(fd, buffer, length, 0, (void *)&from, size);
	}
}

static int serve(int cpu, int fifo)
{
	settle_on(cpu, fifo);
	for (int index = -1; index <= crr_ports; index++) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (index < 0)
			serve_udp();
		else
			serve_tcp(first_port + index);
	}
	usleep(100000);
	puts("ready");
	fflush(stdout);
	/* Ends with the benchmark, which holds the other end. */
	while (getchar() != EOF)
		;
	return 0;
}

static int by_value(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static void report(size_t count, size_t failed, uint64_t elapsed)
{
	uint64_t sum = 0;

	for (size_t index = 0; index < count; index++)
		sum += samples[index];
	qsort(samples, count, sizeof(samples[0]), by_value);
	printf("{\"count\":%zu,\"failed\":%zu,\"elapsed\":%llu,\"p50\":%u,"
	       "\"p99\":%u,\"mean\":%llu}\n",
	       count, failed, (unsigned long long)elapsed,
	       count ? samples[count / 2] : 0,
	       count ? samples[count * 99 / 100] : 0,
	       (unsigned long long)(count ? sum / count : 0));
	fflush(stdout);
}

static int connect_to(const char *address, int port, int type,
		      const char *control)
{
	struct sockaddr_in remote = address_of(address, port);
	int fd = open_socket(type, NULL);

	if (control)
		congestion(fd, control);
	if (connect(fd, (void *)&remote, sizeof(remote))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void request_response(const char *address, int type, uint64_t duration)
{
	int tcp = type == SOCK_STREAM;
	int fd = connect_to(address, first_port, type, tcp ? "reno" : NULL);
	struct timeval limit = { .tv_sec = 1 };
	uint64_t started = now(), at = started;
	size_t count = 0, failed = 0;
	char byte = 1;

	if (fd < 0)
		die("connect");
	if (tcp)
		set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (at - started < duration && count < samples_max) {
		uint64_t next;
		int good = write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1;

		next = now();
		if (good)
			samples[count++] = next - at;
		else
			failed++;
		at = next;
	}
	close(fd);
	report(count, failed, at - started);
}

static void connect_request_close(const char *address, uint64_t duration)
{
	uint64_t started = now(), at = started;
	size_t count = 0, failed = 0;
	static unsigned int turn;
	char byte = 1;

	while (at - started < duration && count < samples_max) {
		int fd = connect_to(address, first_port + turn++ % crr_ports,
				    SOCK_STREAM, "reno");
		int good = fd >= 0 && write(fd, &byte, 1) == 1 &&
			   read(fd, &byte, 1) == 1;
		uint64_t next;

		if (fd >= 0)
			close(fd);
		next = now();
		if (good)
			samples[count++] = next - at;
		else
			failed++;
		at = next;
	}
	report(count, failed, at - started);
}

static void stream(const char *address, uint64_t duration)
{
	int fd = connect_to(address, stream_port, SOCK_STREAM, "cubic");
	static char buffer[stream_chunk];
	uint64_t started = now(), at = started, bytes = 0;
	struct tcp_info facts = {};
	socklen_t size = sizeof(facts);

	if (fd < 0)
		die("connect");
	while (at - started < duration) {
		ssize_t sent = write(fd, buffer, sizeof(buffer));

		if (sent < 0)
			die("write");
		bytes += sent;
		at = now();
	}
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &facts, &size);
	close(fd);
	printf("{\"bytes\":%llu,\"elapsed\":%llu,\"retransmits\":%u}\n",
	       (unsigned long long)bytes, (unsigned long long)(at - started),
	       facts.tcpi_total_retrans);
	fflush(stdout);
}

/* New connections for conntrack and for the flows: one packet from each of many ports, in turn. */
static void flood(const char *address, size_t packets, size_t per_second)
{
	struct sockaddr_in remote = address_of(address, first_port);
	uint64_t started = now();
	size_t failed = 0;
	int fd = open_socket(SOCK_DGRAM, NULL);
	char byte = 1;

	for (size_t sent = 0; sent < packets; sent++) {
		/* In bursts, so that the reader of the flows gets this core too. */
		while ((now() - started) * per_second / 1000000000ull < sent)
			usleep(1000);
		/* Another destination port is another flow. */
		remote.sin_port = htons(10000 + sent % 50000);
		if (sendto(fd, &byte, 1, 0, (void *)&remote, sizeof(remote)) != 1)
			failed++;
	}
	close(fd);
	printf("{\"count\":%zu,\"failed\":%zu,\"elapsed\":%llu}\n", packets,
	       failed, (unsigned long long)(now() - started));
	fflush(stdout);
}

static int client(const char *address, int cpu, int fifo)
{
	char line[256], verb[16];
	unsigned long first, second;

	settle_on(cpu, fifo);
	signal(SIGPIPE, SIG_IGN);
	while (fgets(line, sizeof(line), stdin)) {
		int fields = sscanf(line, "%15s %lu %lu", verb, &first, &second);
		uint64_t duration = first * 1000000ull;

		if (fields < 2)
			return 1;
		if (!strcmp(verb, "rr"))
			request_response(address, SOCK_STREAM, duration);
		else if (!strcmp(verb, "udp"))
			request_response(address, SOCK_DGRAM, duration);
		else if (!strcmp(verb, "crr"))
			connect_request_close(address, duration);
		else if (!strcmp(verb, "stream"))
			stream(address, duration);
		else if (!strcmp(verb, "flood") && fields == 3)
			flood(address, first, second);
		else
			return 1;
	}
	return 0;
}

static int socket_in(const char *netns, const struct sockaddr_in *local)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
	return open_socket(SOCK_DGRAM, local);
}

struct probe {
	int sender, receiver;
	struct sockaddr_in remote;
	uint64_t sequence;
};

/* Delivery between two pods ends before sendto returns: what is not there then was dropped. */
static int passes(struct probe *probe)
{
	uint64_t number = ++probe->sequence, got = 0;
	struct timespec pause = { .tv_nsec = 20000 };

	sendto(probe->sender, &number, sizeof(number), 0,
	       (void *)&probe->remote, sizeof(probe->remote));
	for (int turn = 0; turn < 2; turn++) {
		while (recv(probe->receiver, &got, sizeof(got), MSG_DONTWAIT) > 0)
			if (got == number)
				return 1;
		if (turn == 0)
			nanosleep(&pause, NULL);
	}
	return 0;
}

/* Nanoseconds from the change to the first packet of a steady new verdict; -1 when none came. */
static long long judge(struct probe *probe, uint64_t changed, int want)
{
	uint64_t first = 0, next = now();
	int steady = 0;

	while (steady < probe_steady && next - changed < probe_limit_ns) {
		uint64_t at = now();
		struct timespec pause;

		if (passes(probe) == want) {
			if (steady++ == 0)
				first = at;
		} else {
			steady = 0;
		}
		next += probe_interval_ns;
		pause = (struct timespec){ next / 1000000000,
					   next % 1000000000 };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &pause, NULL);
	}
	return steady < probe_steady ? -1 : (long long)(first - changed);
}

static int probe(const char *from, const char *to, const char *address, int cpu)
{
	struct sockaddr_in local = address_of(address, first_port);
	struct probe probe = { .remote = local };
	char line[1024], verb[16], first[400], second[400];
	int want;

	probe.receiver = socket_in(to, &local);
	probe.sender = socket_in(from, NULL);
	prctl(PR_SET_TIMERSLACK, 1000);
	settle_on(cpu, 1);
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t changed = now();

		if (sscanf(line, "%15s %399s %399s %d", verb, first, second,
			   &want) == 4 &&
		    !strcmp(verb, "rename")) {
			if (rename(first, second))
				die("rename");
		} else if (sscanf(line, "%15s %399s %d", verb, first, &want) ==
				   3 &&
			   !strcmp(verb, "unlink")) {
			if (unlink(first))
				die("unlink");
		} else if (sscanf(line, "%15s %d", verb, &want) != 2 ||
			   strcmp(verb, "now")) {
			return 1;
		}
		printf("%lld\n", judge(&probe, changed, want));
		fflush(stdout);
	}
	return 0;
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

/* 0 if the key finds nothing. */
static uint32_t first_word(int map, const uint8_t *key)
{
	uint8_t value[map_bytes_max] = {};
	union bpf_attr attr = {
		.map_fd = map,
		.key = (uintptr_t)key,
		.value = (uintptr_t)value,
	};
	uint32_t word;

	bpf(BPF_MAP_LOOKUP_ELEM, &attr);
	memcpy(&word, value, sizeof(word));
	return word;
}

static int watch(const char *path, int cpu)
{
	union bpf_attr attr = { .pathname = (uintptr_t)path };
	struct timespec pause = { .tv_nsec = watch_interval_ns };
	char line[1024], from[300], to[300], hex[2 * map_bytes_max + 1];
	int map = bpf(BPF_OBJ_GET, &attr);

	if (map < 0)
		die(path);
	prctl(PR_SET_TIMERSLACK, 1000);
	settle_on(cpu, 1);
	while (fgets(line, sizeof(line), stdin)) {
		uint8_t key[map_bytes_max] = {};
		uint64_t changed, taken;
		uint32_t before;

		if (sscanf(line, "rename %299s %299s %512s", from, to, hex) != 3)
			return 1;
		for (size_t at = 0; at < strlen(hex) / 2; at++)
			sscanf(hex + 2 * at, "%2hhx", &key[at]);
		before = first_word(map, key);
		changed = now();
		if (rename(from, to))
			die("rename");
		do {
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
			taken = now() - changed;
		} while (first_word(map, key) == before &&
			 taken < probe_limit_ns);
		printf("%lld\n", taken < probe_limit_ns ? (long long)taken : -1);
		fflush(stdout);
	}
	return 0;
}

int main(int count, char **words)
{
	if (count == 4 && !strcmp(words[1], "serve"))
		return serve(atoi(words[2]), atoi(words[3]));
	if (count == 5 && !strcmp(words[1], "client"))
		return client(words[2], atoi(words[3]), atoi(words[4]));
	if (count == 6 && !strcmp(words[1], "probe"))
		return probe(words[2], words[3], words[4], atoi(words[5]));
	if (count == 4 && !strcmp(words[1], "watch"))
		return watch(words[2], atoi(words[3]));
	fputs("usage: traffic serve|client|probe|watch ...\n", stderr);
	return 2;
}
