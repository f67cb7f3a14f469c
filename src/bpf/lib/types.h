/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

/*
 * Every struct that user space reads or writes. build.ts reads these from the
 * BTF of the compiled objects and writes src/bpf/gen/, so a layout is never
 * typed twice. Addresses are always 128 bits, IPv4 as ::ffff:a.b.c.d, in
 * network byte order; every other number is in host order unless it is __be.
 */

union addr {
	__u8 b[16];
	__u32 w[4];
	__u64 d[2];
};

/* --- endpoints ---------------------------------------------------------- */

enum endpoint_flags {
	ENDPOINT_HOST = 1, /* the address belongs to this node, not to a pod */
	ENDPOINT_AUDIT = 2, /* what its policy denies is told of, and goes on */
};

/*
 * One row per pod, stored twice: in cilium_endpoints by interface index (what
 * the sender's program asks) and in cilium_lxc by address (what delivery asks).
 */
struct endpoint {
	__u32 ifindex; /* host side of the veth */
	__u16 id;
	__u16 flags;
	__u32 identity;
	__u32 policy_id; /* slot in cilium_policy_config and cilium_policy_v2 */
	__u8 mac[6]; /* the pod's own */
	__u8 node_mac[6]; /* the host side's, which the pod sees as its gateway */
	union addr ipv4; /* zero when the pod has none */
	union addr ipv6;
};

#define POLICY_BANKS 2 /* one in force, and one that is being filled */

/* --- ipcache ------------------------------------------------------------ */

enum ipcache_flags {
	IPCACHE_HOST = 1, /* an address of this node: deliver to the stack */
	IPCACHE_UNROUTABLE = 2, /* inside the pod range: only endpoints live here */
};

struct ipcache_key {
	__u32 prefixlen; /* 0 to 128 */
	__u8 addr[16]; /* not union addr: its alignment would leave a hole */
};

struct ipcache_entry {
	__u32 identity;
	union addr tunnel_endpoint;
	__u16 flags;
	__u16 pad;
};

/*
 * Which of the CIDRs that policy uses contain an address: a number for each
 * such set, by bank. Longest prefix match; no match is set 0, in none. Most
 * CIDRs mean only what is outside of the cluster, so pods and nodes have a
 * number of their own: for them only those count that mean every address.
 */
struct address_set {
	__u32 outside[POLICY_BANKS];
	__u32 inside[POLICY_BANKS];
};

/* --- policy ------------------------------------------------------------- */

#define POLICY_IDS_MAX 4096 /* policies on a node; slot = bank * this + id */

#define CLASS_ANY 0 /* in a policy key: whatever the peer is */
#define CLASS_NONE 1 /* a peer, or a group, that no selector in use names */
#define GROUP_BASE 0x80000000 /* the bit that tells a group from a class */

/* Identities of this scope only name a CIDR; for policy they are the world. */
#define IDENTITY_SCOPE_SHIFT 24
#define IDENTITY_SCOPE_LOCAL 1

#define IDENTITY_HOST 1
#define IDENTITY_REMOTE_NODE 6
#define IDENTITY_KUBE_APISERVER 7

struct identity_class_key {
	__u32 identity;
	__u32 address_set;
};

/*
 * A class may differ between the banks, so a policy change flips both at once.
 * Peers that only wide selectors name alike share a group, which is coarser; in
 * a policy key either may stand.
 */
struct identity_class {
	__u32 class_id[POLICY_BANKS];
	__u32 group_id[POLICY_BANKS];
};

enum policy_direction {
	POLICY_INGRESS = 0,
	POLICY_EGRESS = 1,
};

/* prefixlen bits that every entry has: the class, the direction. */
#define POLICY_STATIC_BITS 40

struct policy_key {
	__u32 prefixlen; /* 40 any protocol, 48 any port, up to 64 */
	__u32 class_id; /* a class, a group, or CLASS_ANY */
	__u8 direction; /* enum policy_direction */
	__u8 proto;
	__be16 port; /* the ICMP type, for ICMP */
};

enum policy_entry_flags {
	POLICY_ENTRY_DENY = 1,
	POLICY_ENTRY_DEFAULT = 2, /* denied because nothing allows it */
};

struct policy_entry {
	__u32 cookie; /* names the rules behind the entry; never 0 */
	__u8 flags;
	__u8 match_type; /* enum policy_match */
	__u16 pad;
};

/* As shown in a flow's policy_match_type. */
enum policy_match {
	POLICY_MATCH_NONE = 0,
	POLICY_MATCH_L3_ONLY = 1,
	POLICY_MATCH_L3_L4 = 2,
	POLICY_MATCH_L4_ONLY = 3,
	POLICY_MATCH_ALL = 4,
	POLICY_MATCH_L3_PROTO = 5,
	POLICY_MATCH_PROTO_ONLY = 6,
};

enum policy_config_flags {
	POLICY_VALID = 1, /* unset: not computed yet, everything is dropped */
	POLICY_ENFORCE_INGRESS = 2,
	POLICY_ENFORCE_EGRESS = 4,
	POLICY_WILDCARD_INGRESS = 8, /* there are entries with CLASS_ANY */
	POLICY_WILDCARD_EGRESS = 16,
	POLICY_CLASSES_INGRESS = 32, /* there are entries with a real class */
	POLICY_CLASSES_EGRESS = 64,
	POLICY_OVERFLOW = 128, /* entries did not fit; what is missing is denied */
	POLICY_GROUPS_INGRESS = 512, /* there are entries with a group */
	POLICY_GROUPS_EGRESS = 1024,
};

struct policy_config {
	__u32 flags;
	/*
	 * By direction: the rules whose default deny it is. Without one, why
	 * what cannot be read is dropped.
	 */
	__u32 deny_cookie[2];
};

/* --- conntrack ---------------------------------------------------------- */

/* Side 0 is the end with the lower (address, port). Both directions share it. */
struct ct_key {
	union addr addr[2];
	/* ICMP echo: the id at the asking side; else twice 256 + type. */
	__be16 port[2];
	__u8 proto;
	__u8 pad;
	__u16 zone;
};

enum leg_kind {
	LEG_NONE = 0,
	LEG_POD = 1, /* redirect_peer into the pod behind ifindex */
	LEG_HOST = 2, /* the stack of this node */
	LEG_WORLD = 3, /* out of a native device, with the source translated */
	LEG_STACK = 4, /* beyond this node, but through its stack and routes */
};

struct ct_leg {
	__u32 ifindex;
	__u16 endpoint_id;
	__u8 kind;
	__u8 tcp_flags; /* seen from this side */
};

enum ct_flags {
	CT_INITIATOR = 1, /* value is the side that sent the first packet */
	CT_SEEN_REPLY = 2,
	CT_CLOSING_0 = 4,
	CT_CLOSING_1 = 8,
	CT_RESET = 16,
	CT_SEEN_NON_SYN = 32,
};

struct ct_entry {
	struct ct_leg leg[2];
	__u32 epoch; /* of the verdicts in it */
	__u32 last_seen; /* jiffies, low half */
	__u32 identity[2]; /* by side */
	__u32 cookie[2]; /* by enum policy_direction; 0 = not enforced */
	__u16 flags;
	__be16 nat_port; /* source port out of the node, for LEG_WORLD */
	__u32 created; /* jiffies, low half */
};

/* The world's view of a translated connection: node:port and the remote end. */
struct nat_entry {
	union addr addr; /* the pod */
	__be16 port;
	__u16 endpoint_id;
	__u32 ifindex; /* the pod's */
	__u32 last_seen;
	__u32 pad;
};

/* A native device: what leaves by it is translated to these addresses. */
struct device {
	union addr ipv4;
	union addr ipv6;
	__u32 flags;
};

/* Ports of a datagram whose first fragment came by the same interface. */
struct fragment_key {
	union addr saddr;
	union addr daddr;
	__u32 id;
	__u32 ifindex; /* or a pod could answer for another one's datagrams */
	__u64 proto;
};

struct fragment_entry {
	__be16 sport;
	__be16 dport;
	__u32 last_seen;
};

/* --- configuration that changes while programs run ----------------------- */

enum runtime_flags {
	RUNTIME_EVENTS_DROP = 1,
	RUNTIME_EVENTS_TRACE = 2,
	RUNTIME_EVENTS_VERDICT = 4,
	RUNTIME_ADDRESS_SETS_0 = 8, /* bank 0 tells peers apart by address set */
	RUNTIME_ADDRESS_SETS_1 = 16,
	RUNTIME_POLICY_AUDIT = 32, /* every endpoint is audited */
};

struct runtime_config {
	__u32 epoch; /* moves with anything a verdict rests on; bit 0 is the bank */
	__u32 flags;
	__u32 host_policy_id; /* slot of this node's own policy; 0 for none */
};

/* --- counters ------------------------------------------------------------ */

enum metric_direction {
	METRIC_UNKNOWN = 0,
	METRIC_INGRESS = 1,
	METRIC_EGRESS = 2,
	METRIC_SERVICE = 3,
};

struct metric {
	__u64 packets;
	__u64 bytes;
};

/* --- events -------------------------------------------------------------- */

enum event_type {
	EVENT_NEW = 1, /* a connection was allowed: verdicts and the first packet */
	EVENT_REPLY = 2, /* its first answer */
	EVENT_CLOSE = 3, /* FIN or RST, once from each side */
	EVENT_DROP = 4,
};

enum event_flags {
	EVENT_EGRESS_JUDGED = 1, /* the sender's egress policy was asked */
	EVENT_INGRESS_JUDGED = 2,
	EVENT_IPV6 = 4,
	EVENT_REEVALUATED = 8, /* the policy changed under a running connection */
	EVENT_IS_REPLY = 16,
	EVENT_EGRESS_DENIED = 32,
	EVENT_INGRESS_DENIED = 64,
};

/* Where the packet goes next; numbers are upstream's trace points. */
enum trace_point {
	TRACE_TO_LXC = 0,
	TRACE_TO_HOST = 2,
	TRACE_TO_STACK = 3,
	TRACE_FROM_LXC = 5,
	TRACE_TO_NETWORK = 11,
};

/* Source files of a drop, numbers as upstream's. */
enum source_file {
	FILE_BPF_HOST = 1,
	FILE_BPF_LXC = 2,
};

/* One fixed size for every event; user space makes one to three flows of it. */
struct flow_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	union addr saddr; /* as the pod's side sees them, never translated */
	union addr daddr;
	__be16 sport; /* ICMP: type in the low, code in the high byte */
	__be16 dport; /* ICMP echo: the id */
	__u8 proto;
	__u8 tcp_flags;
	__u8 type; /* enum event_type */
	__u8 reason; /* drop reason, else 0 */
	__u32 src_identity;
	__u32 dst_identity;
	__u16 src_endpoint; /* 0 when not a pod of this node */
	__u16 dst_endpoint;
	__u32 ifindex;
	__u32 cookie[2]; /* by enum policy_direction: the rule or the default deny */
	__u8 match_type[2];
	__u8 flags; /* enum event_flags */
	__u8 trace_point; /* enum trace_point */
	__u32 length; /* of the packet, from the network header */
	__u8 smac[6];
	__u8 dmac[6];
	__u16 line;
	__u8 file; /* enum source_file */
	__u8 direction; /* enum metric_direction, of a drop */
	__u32 epoch;
};
