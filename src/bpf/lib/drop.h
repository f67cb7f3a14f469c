/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

/*
 * The one list of drop reasons. Numbers and meaning are upstream's, because
 * they are metric labels and appear in flows; build.ts generates the
 * TypeScript names from it. A function that may drop returns one of these,
 * negated.
 */
enum drop_reason {
	DROP_INVALID_SIP = 132,
	DROP_POLICY = 133,
	DROP_INVALID = 134,
	DROP_CT_INVALID_HDR = 135,
	DROP_CT_UNKNOWN_PROTO = 137,
	DROP_UNKNOWN_L3 = 139,
	DROP_WRITE_ERROR = 141,
	DROP_UNKNOWN_TARGET = 150,
	DROP_UNROUTABLE = 151,
	DROP_CT_CREATE_FAILED = 155,
	DROP_INVALID_EXTHDR = 156,
	DROP_NO_CONFIG = 165,
	DROP_UNSUPPORTED_L2 = 166,
	DROP_NAT_NO_MAPPING = 167,
	DROP_NO_FIB = 169,
	DROP_FRAG_NOT_FOUND = 175,
	DROP_FORBIDDEN_ICMP6 = 176,
	DROP_POLICY_DENY = 181,
	DROP_VLAN_FILTERED = 182,
	DROP_TTL_EXCEEDED = 196,
	DROP_MULTICAST_HANDLED = 201,
	DROP_EP_NOT_READY = 203,
};
