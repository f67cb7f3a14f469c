/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

#include "config.h"
#include "flow.h"

/*
 * One entry a connection, found by the same key from both sides. Expiry is
 * judged here, at look-up; cil_ct_sweep only frees what nobody asks for.
 *
 * The table may give an element to another connection while a program on
 * another CPU holds a pointer to it: what is written then lands in that
 * connection's entry. So what was judged is never written in place, but with a
 * whole entry under its key. A stamp, a flag, or the translated leg of an entry
 * made an instant ago (nat_set_leg) may go astray.
 */

static __always_inline __u32 ct_lifetime(const struct ct_entry *e, __u8 proto)
{
	if (proto != IPPROTO_TCP)
		return config_ct_any;
	if (e->flags & CT_RESET || (e->flags & (CT_CLOSING_0 | CT_CLOSING_1)) ==
					   (CT_CLOSING_0 | CT_CLOSING_1))
		return config_ct_tcp_fin;
	if (e->flags & CT_SEEN_REPLY && e->flags & CT_SEEN_NON_SYN)
		return config_ct_tcp;
	return config_ct_tcp_syn;
}

/* Idle for longer than that? Another CPU's stamp may be a tick after ours. */
static __always_inline bool ct_idle(__u32 last_seen, __u32 now, __u32 lifetime)
{
	return (__s32)(now - last_seen) > (__s32)lifetime;
}

static __always_inline bool ct_expired(const struct ct_entry *e, __u8 proto,
				       __u32 now)
{
	return ct_idle(e->last_seen, now, ct_lifetime(e, proto));
}

/* A SYN on a connection that is closing, or past it, begins a new one. */
static __always_inline bool ct_reopens(const struct ct_entry *e,
				       const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       e->flags & (CT_RESET | CT_CLOSING_0 | CT_CLOSING_1);
}

/*
 * The other way round than the entry was made. Only an echo is answered in it:
 * any other message, and an echo request, is asked for by whoever sends it.
 */
static __always_inline bool ct_icmp_opposes(const struct ct_entry *e,
					    const struct packet *p)
{
	bool v4 = p->key.proto == IPPROTO_ICMP;

	if (!v4 && p->key.proto != IPPROTO_ICMPV6)
		return false;
	if ((p->side & 1) == (e->flags & CT_INITIATOR))
		return false;
	if (!packet_is_echo(p))
		return true;
	return p->l4_off &&
	       p->icmp_type == (v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST);
}

static __always_inline void ct_note_tcp(struct ct_entry *e,
					const struct packet *p)
{
	if (p->key.proto != IPPROTO_TCP)
		return;
	if (!(p->tcp_flags & TCP_SYN))
		e->flags |= CT_SEEN_NON_SYN;
	if (p->tcp_flags & TCP_FIN)
		e->flags |= p->side ? CT_CLOSING_1 : CT_CLOSING_0;
	if (p->tcp_flags & TCP_RST)
		e->flags |= CT_RESET;
	else if (!(p->tcp_flags & TCP_FIN))
		/* Whoever got the RST did not take it: it goes on. */
		e->flags &= ~CT_RESET;
	e->leg[p->side & 1].tcp_flags |= p->tcp_flags;
}

/* Carry what was just judged into an entry: legs, identities, cookies, epoch. */
static __always_inline void ct_apply(struct ct_entry *e, const struct flow *f)
{
	for (int i = 0; i < 2; i++) {
		e->leg[i].endpoint_id = f->end[i].endpoint_id;
		/* The world leg knows its device; judging it again does not. */
		if (e->leg[i].kind != LEG_WORLD || f->end[i].kind != LEG_STACK) {
			e->leg[i].ifindex = f->end[i].ifindex;
			e->leg[i].kind = f->end[i].kind;
		}
		e->identity[i] = f->end[i].peer.identity;
		e->cookie[i] = f->verdict[i].cookie;
	}
	e->epoch = f->epoch;
}
