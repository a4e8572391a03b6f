/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every program needs and no kernel structure is read for: settings, counters,
 * the scratch buffer, and the way into a ring. A header that knows how to say who
 * acts stands in front of it: core.bpf.h.
 */
#pragma once

#include <bpf/bpf_helpers.h>
#include "wire.h"
#include "maps.bpf.h"

#define BEE_NSEC_PER_SEC 1000000000ull

/*
 * Hides a value from the verifier's bookkeeping. In a loop over bytes a variable
 * that is a known number on one path and another on the next makes each turn
 * another state to prove, and a million states are soon together; two unknown
 * numbers are one state.
 */
#define bee_unknown(state, value) ((value) ^ (state)->zero)

/*
 * The same with any number the verifier does not know, where one is at hand: two
 * instructions and no look-up. Where ways join, each value that is a known number on
 * one of them doubles the states to prove from there.
 */
#define bee_blur(value, number)                                                             \
	({                                                                                  \
		__u64 blurred_ = (value);                                                   \
		asm volatile("%0 ^= %1; %0 ^= %1" : "+r"(blurred_) : "r"((__u64)(number))); \
		(typeof(value))blurred_;                                                    \
	})

/*
 * Where in which scratch buffer: an offset into its tail, and above BEE_SLOT_SHIFT the
 * number of the buffer. Functions that take an offset take such a place, and mask it.
 */
#define BEE_SLOT_SHIFT		16
#define BEE_PLACE(slot, offset) ((__u32)(slot) << BEE_SLOT_SHIFT | (offset))

static __always_inline struct bee_scratch *bee_scratch(__u32 place)
{
	__u32 slot = place >> BEE_SLOT_SHIFT;

	return bpf_map_lookup_elem(&scratch, &slot);
}

/* Not 0 if one of eight bytes is `byte`. */
#define BEE_ONES 0x0101010101010101ull
static __always_inline __u64 bee_has_byte(__u64 eight, __u8 byte)
{
	__u64 other = eight ^ (byte * BEE_ONES);

	return (other - BEE_ONES) & ~other & BEE_ONES << 7;
}

/*
 * Bytes of the tail from `place` on before the first that is `end` or NUL, at most `room`,
 * a multiple of 8. To the eight bytes it is in, then to the byte, so that the verifier
 * proves an eighth of the turns; what is known of numbers is blurred between the two.
 * clang would load eight bytes one by one; both architectures load them wherever they lie.
 */
static __always_inline __u32 bee_find(struct bee_scratch *buffer, __u32 place, __u8 end, __u32 room)
{
	__u64 eight, any = place;
	__u32 found = 0;

	for (__u32 i = 0; i < room; i += 8) {
		found = i;
		asm volatile("%0 = *(u64 *)(%1 + 0)"
			     : "=r"(eight)
			     : "r"(&buffer->tail[(place + i) & BEE_TAIL_MASK])
			     : "memory");
		if (bee_has_byte(eight, end) | bee_has_byte(eight, 0))
			break;
	}
	found = bee_blur(found, any);
	for (__u32 i = 0; i < 8; i++) {
		__u8 byte = buffer->tail[(place + found) & BEE_TAIL_MASK];

		if (byte == end || !byte)
			break;
		found = bee_blur(found + 1, any);
	}
	return found;
}

static __always_inline void bee_count(__u32 kind, __u32 cause)
{
	__u32 index = kind * BEE_CAUSE_COUNT + cause;
	__u64 *counter = bpf_map_lookup_elem(&counters, &index);

	if (counter)
		__sync_fetch_and_add(counter, 1);
}

/* Another build's objects may be attached beside ours during an upgrade; the
 * generation word says whose turn it is. */
static __always_inline bool bee_active(void)
{
	return settings.generation == bee_generation;
}

/* The fixed part lies directly in front of the tail, whatever its size. */
#define bee_fixed(buffer, type) ((type *)((buffer)->fixed + BEE_FIXED_MAX - sizeof(type)))

/*
 * The record whose fixed part has this many bytes. clang leaves out a mask it knows
 * to change nothing, and compares a copy of a number instead of the number; the
 * verifiers of 5.10 and 6.1 follow neither, so here and in bee_submit the value is
 * hidden from clang. Drop when the minimum is 6.12.
 */
static __always_inline struct bee_header *bee_record(struct bee_scratch *buffer, __u32 fixed)
{
	__u32 offset = BEE_FIXED_MAX - fixed;

	barrier_var(offset);
	return (void *)(buffer->fixed + (offset & (BEE_FIXED_MAX - 1)));
}

/*
 * Whether this process may still use the alert ring. The bucket is kept per
 * process (tgid), so starting threads buys nothing. Races between CPUs can let a
 * few more through; they cannot lose an event.
 */
enum bee_rate { BEE_RATE_ALERT, BEE_RATE_DEMOTE, BEE_RATE_DROP };

static __always_inline enum bee_rate bee_rate(__u32 tgid, __u64 now)
{
	struct bee_bucket *bucket = bpf_map_lookup_elem(&buckets, &tgid);
	__u64 full = (__u64)settings.alert_burst * BEE_NSEC_PER_SEC;

	if (!bucket) {
		struct bee_bucket fresh = {.refilled = now, .tokens = full, .second = now};

		bpf_map_update_elem(&buckets, &tgid, &fresh, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &tgid);
		if (!bucket)
			return BEE_RATE_ALERT;
	}
	if (settings.events_per_second) {
		if (now - bucket->second >= BEE_NSEC_PER_SEC) {
			bucket->second = now;
			bucket->in_second = 0;
		}
		if (bucket->in_second >= settings.events_per_second)
			return BEE_RATE_DROP;
		bucket->in_second++;
	}

	__u64 passed = now - bucket->refilled;
	/* An hour is plenty, and keeps the product below 2^64. */
	if (passed > 3600 * BEE_NSEC_PER_SEC)
		passed = 3600 * BEE_NSEC_PER_SEC;
	__u64 tokens = bucket->tokens + passed * (settings.alerts_per_second & 0xfffff);
	if (tokens > full)
		tokens = full;
	bucket->refilled = now;
	if (tokens < BEE_NSEC_PER_SEC) {
		bucket->tokens = tokens;
		return BEE_RATE_DEMOTE;
	}
	bucket->tokens = tokens - BEE_NSEC_PER_SEC;
	return BEE_RATE_ALERT;
}

/*
 * When to wake the reader. By default the kernel wakes it only for a record it
 * has caught up with (the first after idle); the reader then waits a little and
 * takes a whole batch. A ring that is a quarter full is worth waking it again,
 * at most once a millisecond.
 */
static __always_inline __u64 bee_wakeup(void *ring, __u64 now, __u32 which)
{
	__u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	if (!state.quarter[which & 1])
		state.quarter[which & 1] = bpf_ringbuf_query(ring, BPF_RB_RING_SIZE) / 4;
	if (waiting < state.quarter[which & 1])
		return 0;
	if (now - state.woken[which & 1] < 1000000)
		return BPF_RB_NO_WAKEUP;
	state.woken[which & 1] = now;
	return BPF_RB_FORCE_WAKEUP;
}

/*
 * Sends a record of `length` bytes into a ring and counts how it ended: one call, one
 * count in `counters` beside DEMOTED. This is what makes emitted = delivered + dropped
 * hold. `length` is bounded by who calls, as far as the memory behind `header` goes.
 */
static __always_inline void bee_send(struct bee_header *header, __u32 length, __u32 alert)
{
	__u32 kind = header->kind & (BEE_KIND_COUNT - 1);
	__u64 flags;
	long failed;

	if (alert) {
		enum bee_rate rate = bee_rate(header->tgid, header->time);

		if (rate == BEE_RATE_DROP) {
			bee_count(kind, BEE_CAUSE_RATE_LIMIT);
			return;
		}
		if (rate == BEE_RATE_DEMOTE) {
			alert = 0;
			header->flags |= BEE_FLAG_DEMOTED;
			bee_count(kind, BEE_CAUSE_DEMOTED);
		}
	}
	flags = alert ? bee_wakeup(&alerts, header->time, 0) : bee_wakeup(&bulk, header->time, 1);
	header->length = length;
	if (alert)
		failed = bpf_ringbuf_output(&alerts, header, length, flags);
	else
		failed = bpf_ringbuf_output(&bulk, header, length, flags);
	bee_count(kind, failed ? BEE_CAUSE_RING_FULL : BEE_CAUSE_SUBMITTED);
}

/* Sends the record, made with bee_fixed, and its tail. A global function (see names.bpf.h). */
__noinline int bee_submit(__u32 place, __u32 fixed, __u32 tail, __u32 alert)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_header *header;
	__u32 length;

	if (!buffer || fixed < sizeof(*header) || fixed > BEE_FIXED_MAX)
		return 0;
	header = bee_record(buffer, fixed);
	length = fixed + tail;
	barrier_var(length);
	if (tail > BEE_TAIL_MASK + 1 + BEE_PART_MAX || length > BEE_RECORD_MAX) {
		bee_count(header->kind & (BEE_KIND_COUNT - 1), BEE_CAUSE_TOO_LONG);
		return 0;
	}
	bee_send(header, length, alert);
	return 0;
}

/* Records whose length is known before are made in the ring itself, and leave the
 * scratch buffer to the one program that needs it. */
#define bee_reserve(kind, type)                                                \
	({                                                                     \
		type *reserved_ = bpf_ringbuf_reserve(&bulk, sizeof(type), 0); \
		if (!reserved_)                                                \
			bee_count(kind, BEE_CAUSE_RING_FULL);                  \
		reserved_;                                                     \
	})

static __always_inline void bee_commit(struct bee_header *header, __u32 kind, __u32 length)
{
	__u64 now = header->time;

	header->length = length;
	bpf_ringbuf_submit(header, bee_wakeup(&bulk, now, 1));
	bee_count(kind, BEE_CAUSE_SUBMITTED);
}

/* A cgroup's path is cut at this many bytes: it is a name to show, not to match. */
#define BEE_CGROUP_PATH 512

struct bee_cgroup_record {
	struct bee_cgroup fixed;
	char path[BEE_CGROUP_PATH];
};
