// SPDX-License-Identifier: GPL-2.0
/*
 * No program: the maps every family shares, and the wire types for Rust (a
 * skeleton has the types of its global variables).
 */
/* No CO-RE record here: the maps are made on kernels without BTF too. */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "wire.h"
#include "maps.bpf.h"

struct bee_header bee_type_header;
struct bee_exec bee_type_exec;
struct bee_process bee_type_process;
struct bee_file bee_type_file;
struct bee_cgroup bee_type_cgroup;
struct bee_socket bee_type_socket;
struct bee_flow_key bee_type_flow_key;
struct bee_flow bee_type_flow;
struct bee_memory bee_type_memory;
struct bee_kernel bee_type_kernel;
struct bee_rule_key bee_type_rule_key;
struct bee_inode_key bee_type_inode_key;
struct bee_inode_value bee_type_inode_value;
struct bee_device_key bee_type_device_key;
struct bee_settings bee_type_settings;
struct bee_state bee_type_state;

char LICENSE[] SEC("license") = "GPL";
