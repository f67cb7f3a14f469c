/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "bpf.h"

/*
 * Set by the loader before the programs are verified; a feature that is off
 * here costs nothing, since the verifier removes its code.
 */

/* Where the gateway of every pod answers ARP and neighbour discovery. */
const volatile union addr config_router_ipv4 = {};
const volatile union addr config_router_ipv6 = {};

/* Translate the source of what leaves by a native device. */
const volatile __u8 config_masquerade_ipv4 = 1;
const volatile __u8 config_masquerade_ipv6 = 1;

/* Source ports for translation, host order; outside the host's own range. */
const volatile __u16 config_nat_port_min = 61000;
const volatile __u16 config_nat_port_max = 65535;

/* What an address counts as for policy when its identity only names a CIDR. */
const volatile __u32 config_world_identity_ipv4 = 9;
const volatile __u32 config_world_identity_ipv6 = 10;

/* Policy for this node's own traffic, beside that of its pods. */
const volatile __u8 config_host_firewall = 0;

/* What tells a sender to send smaller packets passes whatever policy says. */
const volatile __u8 config_allow_frag_needed = 1;

/* CIDRs that mean the outside mean nodes as well. */
const volatile __u8 config_cidr_matches_nodes = 0;

/* Lifetimes of idle connections, in jiffies of this kernel. */
const volatile __u32 config_ct_tcp = 8000 * 250;
const volatile __u32 config_ct_tcp_syn = 60 * 250;
const volatile __u32 config_ct_tcp_fin = 10 * 250;
const volatile __u32 config_ct_any = 60 * 250;

/*
 * An entry idle for less than this needs no look at its state: no lifetime but
 * the one after FIN is shorter, and that one matters to a new SYN only.
 */
const volatile __u32 config_ct_fresh = 60 * 250;
