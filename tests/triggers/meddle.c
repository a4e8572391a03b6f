/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does to the kernel objects of others what root can, with bpf(2) alone:
 *   meddle word MAP OFFSET VALUE   writes a 32-bit word into entry 0 of each map called so
 *   meddle empty MAP KEY           deletes the entry of a 32-bit key
 *   meddle detach                  detaches every link of a cgroup whose program is called
 * cgroup__… Prints how many there were; 1 if there was none.
 *   meddle list                    names every program and map there is, whoever holds it
 *   meddle numbers                 the same by number; opens none of them
 */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* The descriptor of the object after `id`, whose number is put there; negative: no more. */
static int next(int get_next, int get_fd, uint32_t *id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.start_id = *id;
	if (bpf(get_next, &attr))
		return -1;
	*id = attr.next_id;
	memset(&attr, 0, sizeof(attr));
	attr.map_id = *id; /* the first number of each kind */
	return bpf(get_fd, &attr);
}

static int info(int fd, void *into, uint32_t size)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	memset(into, 0, size);
	attr.info.bpf_fd = fd;
	attr.info.info = (uintptr_t)into;
	attr.info.info_len = size;
	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

static int entry(int command, int fd, uint32_t key, void *value)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = fd;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)value;
	return bpf(command, &attr);
}

/* Whether the program with this number is one of ours: nobody else's is to be detached. */
static int is_ours(uint32_t id)
{
	union bpf_attr attr;
	struct bpf_prog_info program;
	int fd, ours;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
	if (fd < 0)
		return 0;
	ours = !info(fd, &program, sizeof(program)) && !strncmp(program.name, "cgroup__", 8);
	close(fd);
	return ours;
}

static int list(void)
{
	struct bpf_prog_info program;
	struct bpf_map_info map;
	uint32_t id = 0;
	int fd;

	for (; (fd = next(BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, &id)) >= 0; close(fd))
		if (!info(fd, &program, sizeof(program)))
			printf("program %s\n", program.name);
	for (id = 0; (fd = next(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, &id)) >= 0; close(fd))
		if (!info(fd, &map, sizeof(map)))
			printf("map %s\n", map.name);
	return 0;
}

static int numbers(void)
{
	static const int kinds[] = {BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID,
				    BPF_LINK_GET_NEXT_ID};
	union bpf_attr attr;

	for (unsigned int kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++) {
		memset(&attr, 0, sizeof(attr));
		for (; !bpf(kinds[kind], &attr); attr.start_id = attr.next_id)
			printf("%u %u\n", kind, attr.next_id);
	}
	return 0;
}

static int word(int fd, uint32_t size, uint32_t at, uint32_t value)
{
	unsigned char *bytes = calloc(1, size);
	int failed;

	if (!bytes || at + sizeof(value) > size || entry(BPF_MAP_LOOKUP_ELEM, fd, 0, bytes))
		return -1;
	memcpy(bytes + at, &value, sizeof(value));
	failed = entry(BPF_MAP_UPDATE_ELEM, fd, 0, bytes);
	free(bytes);
	return failed;
}

int main(int count, char **arguments)
{
	int done = 0, fd;
	uint32_t id = 0;
	const char *what = count > 1 ? arguments[1] : "";

	if (!strcmp(what, "list"))
		return list();
	if (!strcmp(what, "numbers"))
		return numbers();
	if (!strcmp(what, "detach")) {
		while ((fd = next(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID, &id)) >= 0) {
			struct bpf_link_info link;
			union bpf_attr attr;

			memset(&attr, 0, sizeof(attr));
			attr.link_detach.link_fd = fd;
			if (!info(fd, &link, sizeof(link)) && link.type == BPF_LINK_TYPE_CGROUP &&
			    is_ours(link.prog_id))
				done += !bpf(BPF_LINK_DETACH, &attr);
			close(fd);
		}
	} else if ((!strcmp(what, "word") && count == 5) ||
		   (!strcmp(what, "empty") && count == 4)) {
		uint32_t number = strtoul(arguments[3], NULL, 0);

		while ((fd = next(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, &id)) >= 0) {
			struct bpf_map_info map;

			if (!info(fd, &map, sizeof(map)) && !strcmp(map.name, arguments[2]))
				done += *what == 'w'
						? !word(fd, map.value_size, number,
							strtoul(arguments[4], NULL, 0))
						: !entry(BPF_MAP_DELETE_ELEM, fd, number, NULL);
			close(fd);
		}
	}
	printf("%d\n", done);
	return !done;
}
