/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflushd --check; see check.h. The report lists what recording would meet on this host, in that order; then for each
 * event the alternative that the kernel took and what is lost with it, or why it took none. Everything printed was
 * really tried (tracer_try()), and removed again.
 */
#include "daemon/probes/check.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/config/exit.h"
#include "daemon/probes/probeset.h"
#include "daemon/probes/tracer.h"
#include "trace/event.h"

/* Prints each line of a text behind a head. */
static void print_lines(FILE *out, const char *head, const char *text)
{
	size_t len;

	for (; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		if (len)
			fprintf(out, "    %s: %.*s\n", head, (int)len, text);
	}
}

static void print_host(const struct config *c, const struct probe_set *set, FILE *out)
{
	struct utsname u;

	if (!uname(&u))
		fprintf(out, "host: %s, Linux %s, %s\n", u.nodename, u.release, u.machine);
	fprintf(out, "probe set: %s, %zu events%s%s\n", set->path, set->nevents,
		strcmp(c->rung, "auto") ? ", by rung " : "", strcmp(c->rung, "auto") ? c->rung : "");
	if (*c->user)
		fprintf(out, "user: arms as %s, records as %s\n", geteuid() ? "no root" : "root", c->user);
	else
		fprintf(out, "user: arms and records as %s (option user is not set)\n", geteuid() ? "no root" : "root");
}

/* Prints the clock that would be used: mono, if the kernel has it. */
static void print_clock(const struct tracer *t, FILE *out)
{
	char path[4096], line[512] = "";
	FILE *f = NULL;

	if ((size_t)snprintf(path, sizeof(path), "%s/trace_clock", t->opt.tracefs) < sizeof(path))
		f = fopen(path, "re");
	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	fprintf(out, "clock: mono%s\n",
		strstr(line, " mono ") || strstr(line, "[mono]") ? "" : ", which this kernel lacks");
}

static const char *what_is(const char *event)
{
	enum event_kind kind = event_kind_by_name(event, strlen(event));

	return kind == EV_NONE ? "" : event_table[kind].doc;
}

static void print_event(FILE *out, const struct armed_event *a, const struct probe_event *ev)
{
	const char *doc = what_is(a->name);

	if (a->alt < 0)
		fprintf(out, "  %s: unavailable%s%s%s\n", a->name, ev->needed ? ", and needed" : "", *doc ? ": " : "",
			doc);
	else
		fprintf(out, "  %s: alternative %d of %zu: %s\n", a->name, a->alt + 1, ev->nalts, a->line);
	if (a->offsets)
		print_lines(out, "offsets from", a->offsets);
	if (a->lost)
		print_lines(out, "lost with it", a->lost);
	if (a->refused)
		print_lines(out, "refused", a->refused);
}

/* The entry of an alternative; its event is printed above. */
static void print_entry(FILE *out, const struct armed_event *a)
{
	fprintf(out, "  %s: for its return: %s\n", a->name, a->line);
	if (a->offsets)
		print_lines(out, "offsets from", a->offsets);
}

static void print_summary(FILE *out, const struct tracer *t, const struct probe_set *set)
{
	size_t i, had = 0;

	for (i = 0; i < set->nevents; i++)
		had += t->event[i].alt >= 0;
	fprintf(out, "events available: %zu of %zu\n", had, set->nevents);
	if (had == set->nevents)
		return;
	fprintf(out, "the capture would lack:");
	for (i = 0; i < set->nevents; i++)
		if (t->event[i].alt < 0)
			fprintf(out, " %s", t->event[i].name);
	fprintf(out, "\n");
}

static int try_set(struct tracer *t, const struct probe_set *set, FILE *out, struct error *e)
{
	enum tracer_host host;
	int ret = tracer_try(t, set, &host, e);
	size_t i;

	if (t->nevents)
		fprintf(out, "events:\n");
	for (i = 0; i < set->nevents && i < t->nevents; i++)
		print_event(out, &t->event[i], &set->event[i]);
	for (; i < t->nevents; i++)
		print_entry(out, &t->event[i]);
	if (t->nevents)
		print_summary(out, t, set);
	if (!ret && !host)
		return DAEMON_EXIT_OK;
	return host ? (int)host : DAEMON_EXIT_ERROR;
}

int check_host(const struct config *c, FILE *out, struct error *e)
{
	const struct tracer_options o = tracer_options_of(c);
	enum tracer_host host;
	struct probe_set set;
	struct tracer t;
	int status;

	if (probe_set_read(&set, c->probes, e))
		return DAEMON_EXIT_USAGE;
	if (probe_set_check_rung(&set, c->rung, e)) {
		probe_set_free(&set);
		return DAEMON_EXIT_USAGE;
	}
	print_host(c, &set, out);
	if (tracer_open(&t, &o, &host, e)) {
		fprintf(out, "tracefs: not usable\n");
		status = host ? (int)host : DAEMON_EXIT_ERROR;
	} else {
		fprintf(out, "tracefs: %s, instance %s, group %s\n", c->tracefs, c->instance, t.group);
		print_clock(&t, out);
		status = try_set(&t, &set, out, e);
		tracer_close(&t);
	}
	fprintf(out, "verdict: %s\n", status ? e->text : "this host can be recorded");
	probe_set_free(&set);
	return status;
}
