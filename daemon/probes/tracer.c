/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracer's life; see tracer.h. impl.h names the files that do the rest.
 *
 * tracer_try() really arms, in an instance and a group of its own, NAME-try and GROUP_try, and removes them before it
 * returns: a line that the kernel takes proves little until its event was enabled, too.
 */
#include "daemon/probes/impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define TRY_MS 10000 /* how long another --check may take */

/* --- a tracer */

struct tracer_options tracer_options_of(const struct config *c)
{
	return (struct tracer_options){
		.tracefs = c->tracefs,
		.instance = c->instance,
		.buffer_size = c->buffer_size,
		.overwrite = c->overwrite,
		.rung = c->rung,
	};
}

int tracer_init(struct tracer *t, const struct tracer_options *o, const char *suffix, struct error *e)
{
	char *instance = NULL, *dir = NULL;

	memset(t, 0, sizeof(*t));
	t->lock = -1;
	t->opt = *o;
	if (asprintf(&instance, "%s%s", o->instance, suffix) < 0)
		instance = NULL;
	t->opt.instance = instance;
	t->opt.tracefs = strdup(o->tracefs);
	t->opt.root = strdup(o->root ? o->root : "");
	t->opt.rung = strdup(o->rung ? o->rung : "auto");
	t->group = instance ? group_of(instance) : NULL;
	if (asprintf(&dir, "%s/instances/%s", o->tracefs, instance ? instance : "") < 0)
		dir = NULL;
	t->dir = dir;
	if (instance && t->opt.tracefs && t->opt.root && t->opt.rung && t->group && dir)
		return 0;
	tracer_forget(t);
	return error_set(e, "out of memory");
}

int tracer_open(struct tracer *t, const struct tracer_options *o, enum tracer_host *host, struct error *e)
{
	*host = TRACER_HOST_OK;
	memset(t, 0, sizeof(*t));
	t->lock = -1;
	if (!instance_valid(o->instance))
		return error_set(e, "instance \"%s\": no instance can have this name", o->instance);
	if (tracer_init(t, o, "", e))
		return -1;
	if (!host_check(t, host, e))
		return 0;
	tracer_forget(t);
	return -1;
}

void armed_events_free(struct armed_event *event, size_t n)
{
	size_t i;

	for (i = 0; event && i < n; i++) {
		free(event[i].name);
		free(event[i].system);
		free(event[i].line);
		free(event[i].lost);
		free(event[i].refused);
	}
	free(event);
}

void tracer_forget(struct tracer *t)
{
	size_t i;

	instance_unlock(t);
	armed_events_free(t->event, t->nevents);
	for (i = 0; i < t->nsettings; i++) {
		free(t->setting[i].name);
		free(t->setting[i].text);
	}
	free(t->setting);
	free(t->group);
	free(t->dir);
	free((void *)(uintptr_t)t->opt.instance);
	free((void *)(uintptr_t)t->opt.tracefs);
	free((void *)(uintptr_t)t->opt.root);
	free((void *)(uintptr_t)t->opt.rung);
	memset(t, 0, sizeof(*t));
	t->lock = -1;
}

/* --- settings of the instance */

static int configure(const struct tracer *t, enum tracer_host *host, struct error *e)
{
	char kib[32];
	const char *const settings[][2] = {
		{"tracing_on", "0"},
		{"trace_clock", "mono"},
		{"options/overwrite", t->opt.overwrite ? "1" : "0"},
		{"buffer_size_kb", kib},
	};
	size_t i;

	snprintf(kib, sizeof(kib), "%llu", (unsigned long long)(t->opt.buffer_size + 1023) / 1024);
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (!instance_write(t, settings[i][0], settings[i][1]))
			continue;
		if (no_privilege(errno))
			return host_no_privilege(t, t->dir, errno, host, e);
		return error_errno(e, "%s/%s: \"%s\" was not taken", t->dir, settings[i][0], settings[i][1]);
	}
	return 0;
}

/*
 * If returns are paired with their entries, the decoder must know where records were lost, or it would pair wrong ones.
 * Only a buffer that overwrites reports a loss at its place; any other reports it only in its statistics.
 */
static int mark_losses(const struct tracer *t, const struct probe_set *set, struct error *e)
{
	if (t->nevents == set->nevents || t->opt.overwrite)
		return 0;
	log_notice("returns are paired with their entries: the ring buffers overwrite the oldest records when full, "
		   "whatever the option overwrite says");
	return instance_write(t, "options/overwrite", "1") ? error_errno(e, "%s/options/overwrite", t->dir) : 0;
}

static int remember_setting(struct tracer *t, const char *name, struct error *e)
{
	struct tracer_setting *s = &t->setting[t->nsettings];

	s->text = instance_read(t, name);
	if (!s->text) /* not every kernel has all of these files */
		return errno == ENOENT ? 0 : error_errno(e, "%s/%s", t->dir, name);
	s->name = strdup(name);
	t->nsettings++;
	return s->name ? 0 : error_set(e, "out of memory");
}

/* Remembers all settings that decide whether and how an event gets into the buffer. */
static int remember_settings(struct tracer *t, struct error *e)
{
	static const char *const names[] = {"trace_clock", "buffer_size_kb", "tracing_cpumask", "set_event_pid",
					    "set_event_notrace_pid"};
	static const char *const of_event[] = {"enable", "filter"};
	char path[PATH_MAX];
	size_t i, j;

	t->setting = calloc(sizeof(names) / sizeof(names[0]) + 2 * t->nevents, sizeof(*t->setting));
	if (!t->setting)
		return error_set(e, "out of memory");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (remember_setting(t, names[i], e))
			return -1;
	for (i = 0; i < t->nevents; i++)
		for (j = 0; j < 2 && t->event[i].alt >= 0; j++) {
			const struct armed_event *a = &t->event[i];

			if (path_print(path, "events/%s/%s/%s", a->system, name_in_system(t, a), of_event[j]))
				return error_errno(e, "%s", a->name);
			if (remember_setting(t, path, e))
				return -1;
		}
	return 0;
}

static int check_setting(const struct tracer *t, const char *name, const char *want, struct error *e)
{
	char *text = instance_read(t, name);
	int ret = 0;

	if (!text && errno != ENOENT)
		return 1;
	if (!text)
		ret = error_set(e, "%s/%s is gone", t->dir, name);
	else if (strcmp(text, want) && strcmp(text, "X")) /* "X": sizes differ: a new CPU came */
		ret = error_set(e, "%s/%s is \"%s\", not \"%s\"", t->dir, name, text, want);
	free(text);
	return ret;
}

int tracer_unchanged(const struct tracer *t, struct error *e)
{
	int ret = check_setting(t, "tracing_on", t->on ? "1" : "0", e);
	size_t i;

	for (i = 0; i < t->nsettings && !ret; i++)
		ret = check_setting(t, t->setting[i].name, t->setting[i].text, e);
	return ret;
}

/* --- from arming to the end */

int tracer_arm(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e)
{
	*host = TRACER_HOST_OK;
	if (t->event || t->lock >= 0)
		return error_set(e, "the tracer is armed already");
	if (instance_lock(t, 0, &t->instance_made, host, e))
		return -1;
	if (!t->instance_made || group_has_probes(t))
		return error_set(e, "the instance %s or probes of the group %s are left over and were not removed",
				 t->opt.instance, t->group);
	if (configure(t, host, e) || arm_events(t, set, e) || mark_losses(t, set, e) || remember_settings(t, e))
		return -1;
	return host_judge(t, set, host, e);
}

/* Changes the events of a try to what would really be armed. */
static int adopt_events(struct tracer *t, struct tracer *try, struct error *e)
{
	size_t i;

	for (i = 0; i < try->nevents; i++) {
		struct armed_event *a = &try->event[i];
		char *line;

		if (a->alt < 0 || strcmp(a->system, try->group))
			continue;
		line = probe_line_in_group(a->line, t->group);
		free(a->line);
		free(a->system);
		a->line = line;
		a->system = strdup(t->group);
		if (!a->line || !a->system)
			return error_set(e, "out of memory");
	}
	t->event = try->event;
	t->nevents = try->nevents;
	try->event = NULL;
	try->nevents = 0;
	return 0;
}

int tracer_try(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e)
{
	struct error trouble = {{0}};
	struct tracer try;
	unsigned removed = 0;
	int ret = -1;

	*host = TRACER_HOST_OK;
	if (t->event)
		return error_set(e, "the tracer is armed already");
	if (tracer_init(&try, &t->opt, "-try", e))
		return -1;
	try.opt.buffer_size = 4096;
	if (instance_lock(&try, TRY_MS, &try.instance_made, host, e))
		goto out;
	if (!try.instance_made) { /* of a try that was killed; its lock is free */
		instance_quiesce(&try);
		try.instance_made = true;
	}
	if (group_remove_probes(&try, &removed, e))
		goto out;
	if (configure(&try, host, e) || arm_events(&try, set, e))
		goto out;
	ret = host_judge(&try, set, host, e);
	if (adopt_events(t, &try, e))
		ret = -1;
out:
	if (try.lock >= 0 && try.instance_made && instance_take_away(&try, &removed, &trouble))
		ret = error_set(e, "%s", trouble.text);
	tracer_forget(&try);
	return ret;
}

static int trace_on(struct tracer *t, const char *value, struct error *e)
{
	return instance_write(t, "tracing_on", value) ? error_errno(e, "%s/tracing_on", t->dir) : 0;
}

int tracer_start(struct tracer *t, struct error *e)
{
	t->on = true;
	return trace_on(t, "1", e);
}

int tracer_stop(struct tracer *t, struct error *e)
{
	t->on = false;
	return trace_on(t, "0", e);
}

void tracer_close(struct tracer *t)
{
	struct error e = {{0}};
	unsigned removed = 0;

	/* A zeroed struct has lock 0, but made nothing. */
	if (t->instance_made && t->lock >= 0 && instance_take_away(t, &removed, &e))
		log_warning("%s", e.text);
	if (t->dir)
		tracer_forget(t);
}
