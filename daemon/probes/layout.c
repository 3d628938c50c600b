/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets from BTF, by libbpf; see layout.h. vmlinux is searched first, then iommufd if it is a module (a module may
 * lack BTF though the kernel has it). The BTF of vmlinux has some megabytes, so it is read once, when the first line
 * needs it, and freed with the layout.
 */
#include "daemon/probes/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#define MAX_MEMBER 128 /* bytes of a member's full name */

struct layout {
	char *root;
	const struct probe_set *set;
	bool looked;
	struct btf *vmlinux, *module; /* NULL: not there */
};

struct layout *layout_new(const char *root, const struct probe_set *set)
{
	struct layout *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->set = set;
	l->root = strdup(root);
	if (l->root)
		return l;
	free(l);
	return NULL;
}

void layout_free(struct layout *l)
{
	if (!l)
		return;
	btf__free(l->module);
	btf__free(l->vmlinux);
	free(l->root);
	free(l);
}

/* --- BTF */

static struct btf *read_btf(const struct layout *l, const char *name, struct btf *base)
{
	struct btf *btf = NULL;
	char *path;

	if (asprintf(&path, "%s/sys/kernel/btf/%s", l->root, name) < 0)
		return NULL;
	btf = base ? btf__parse_split(path, base) : btf__parse(path, NULL);
	free(path);
	return libbpf_get_error(btf) ? NULL : btf;
}

static void look(struct layout *l)
{
	if (l->looked)
		return;
	l->looked = true;
	libbpf_set_print(NULL); /* libbpf would print to stderr; we report errors ourselves */
	l->vmlinux = read_btf(l, "vmlinux", NULL);
	if (l->vmlinux)
		l->module = read_btf(l, "iommufd", l->vmlinux);
}

static const struct btf_type *strip(const struct btf *btf, __u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* Adds the bit offset of "member.member..." in a struct to *bits. 0, or -1: no such member, or a bitfield. */
static int find_member(const struct btf *btf, const struct btf_type *t, const char *path, __u32 *bits)
{
	size_t len = strcspn(path, ".");
	int i;

	if (!t || !btf_is_composite(t))
		return -1;
	for (i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const char *name = btf__name_by_offset(btf, m->name_off);
		__u32 at = *bits + btf_member_bit_offset(t, (__u32)i);

		if (!name || (name[0] && (strncmp(name, path, len) || name[len])))
			continue;
		if (name[0] && !path[len]) {
			*bits = at;
			return btf_member_bitfield_size(t, (__u32)i) ? -1 : 0;
		}
		/* Members of an unnamed struct belong to the struct around it. */
		if (!find_member(btf, strip(btf, m->type), name[0] ? path + len + 1 : path, &at)) {
			*bits = at;
			return 0;
		}
	}
	return -1;
}

static int from_btf(const struct btf *btf, const char *member, unsigned *offset)
{
	char of[MAX_MEMBER];
	size_t len = strcspn(member, ".");
	__u32 bits = 0;
	__s32 id;

	if (!btf)
		return -1;
	memcpy(of, member, len);
	of[len] = '\0';
	id = btf__find_by_name_kind(btf, of, BTF_KIND_STRUCT);
	if (id < 0 || find_member(btf, btf__type_by_id(btf, (__u32)id), member + len + 1, &bits))
		return -1;
	*offset = bits / 8;
	return 0;
}

/* --- lines */

static int from_table(const struct probe_set *set, const char *member, unsigned *offset)
{
	size_t i;

	for (i = 0; i < set->nmembers; i++)
		if (!strcmp(set->member[i].name, member)) {
			*offset = set->member[i].offset;
			return 0;
		}
	return -1;
}

/* Whether iommufd is a loaded module without BTF: only a loaded module has an initstate. */
static bool module_lacks_btf(const struct layout *l)
{
	char *path;
	bool there;

	if (l->module || asprintf(&path, "%s/sys/module/iommufd/initstate", l->root) < 0)
		return false;
	there = !access(path, F_OK);
	free(path);
	return there;
}

static int find_offset(struct layout *l, const char *member, unsigned *offset, const char **from, struct error *e)
{
	look(l);
	*from = "this kernel's BTF";
	if (!from_btf(l->vmlinux, member, offset) || !from_btf(l->module, member, offset))
		return 0;
	if (l->vmlinux && !module_lacks_btf(l))
		return error_set(e, "this kernel's BTF has no %s%s", member,
				 l->module ? "" : "; if iommufd is a module, it is not loaded (modprobe iommufd)");
	*from = l->vmlinux ? "the probe set's table, for the module iommufd has no BTF" :
			     "the probe set's table, for this kernel has no BTF";
	if (!from_table(l->set, member, offset))
		return 0;
	return error_set(e, "this kernel has no BTF %s, and the probe set no @layout of %s",
			 l->vmlinux ? "of the module iommufd (CONFIG_DEBUG_INFO_BTF_MODULES)" : "(CONFIG_DEBUG_INFO_BTF)",
			 member);
}

char *layout_resolve(struct layout *l, const char *line, const char **from, struct error *e)
{
	char member[MAX_MEMBER], *text = NULL;
	const char *at, *p = line;
	unsigned offset;
	size_t len, size;
	FILE *out = open_memstream(&text, &size);

	*from = NULL;
	if (!out)
		goto no_memory;
	for (; probe_line_member(p, &at, &len); p = at + len) {
		snprintf(member, sizeof(member), "%.*s", (int)(len - 2), at + 1);
		if (len - 2 >= sizeof(member) || find_offset(l, member, &offset, from, e)) {
			if (len - 2 >= sizeof(member))
				error_set(e, "%.60s...: the name is too long", at);
			fclose(out);
			free(text);
			return NULL;
		}
		fprintf(out, "%.*s%u", (int)(at - p), p, offset);
	}
	fputs(p, out);
	if (!fclose(out))
		return text;
	free(text);
no_memory:
	error_set(e, "out of memory");
	return NULL;
}
