/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel sensor's objects have in common where there are types: who is the daemon,
 * and the names of modules.
 */
#pragma once

#include "core.bpf.h"
#include "kernel_calls.bpf.h"

/* Whether a process is the daemon or its scanner. */
static __always_inline bool bee_ours(__u32 tgid)
{
	return tgid && (tgid == settings.self_tgid || tgid == settings.scanner_tgid);
}

/* The name of the file a module was to come from, put into the tail; its length. */
static __always_inline __u16 bee_module_file(struct bee_scratch *buffer, __u32 descriptor)
{
	struct dentry *dentry = BPF_CORE_READ(bee_descriptor_file(descriptor), f_path.dentry);
	long size =
		bpf_probe_read_kernel_str(buffer->tail, 256, BPF_CORE_READ(dentry, d_name.name));

	return size > 0 ? size & 0x1ff : 0;
}

/* A module was loaded. The record is made in the scratch buffer at `place`. */
static __always_inline int bee_module(struct module *module, __u16 hook, __u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_kernel *record;
	long size;

	if (!bee_active())
		return 0;
	if (!buffer) {
		bee_count(BEE_KIND_MODULE_LOAD, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_kernel);
	bee_begin(place, BEE_KIND_MODULE_LOAD, hook, sizeof(*record));
	if (bee_compat_current())
		record->header.flags |= BEE_FLAG_COMPAT;
	size = bpf_probe_read_kernel_str(buffer->tail, 64, module->name);
	if (size > 0)
		record->name_length = size & 0x7f;
	bee_submit(place, sizeof(*record), record->name_length, 1);
	return 0;
}
