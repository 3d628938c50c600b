/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See daemon.h. One struct holds the whole recording process. It is made in the order probes, ring, writer, HTTP, and
 * ended so that nothing outlives what it uses: tracing off, last drain, HTTP, writer, ring.
 *
 * Threads: this one runs the loop and the ring, and it alone interns strings. The writer and HTTP threads read strings
 * by ids that they got through a lock.
 */
#include "daemon/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/config/exit.h"
#include "daemon/daemon.h"
#include "daemon/probes/check.h"

#define DRAIN_PAGES 256	     /* of a CPU at once; then signals and timers get their turn */
#define STATUS_INTERVAL_S 10 /* systemd's status line */
#define WATCH_INTERVAL_S 5   /* how often missed records and changes by other processes are checked */

/* --- callbacks of the loop */

static void fail(struct ioflushd *d, const struct error *e)
{
	error_set(&d->failed, "%s", e->text);
	loop_stop(d->loop);
}

static bool on_drain(void *ctx)
{
	struct ioflushd *d = ctx;
	struct error e = {0};
	int gone = -1;
	long pages = ring_drain(d->ring, DRAIN_PAGES, &gone, &e);

	if (gone >= 0)
		cpus_gone(d, (unsigned)gone);
	if (pages < 0) {
		fail(d, &e);
		return false;
	}
	return pages >= DRAIN_PAGES; /* a CPU may have more */
}

static void stats(struct ioflushd *d, struct ring_stats *r, struct writer_stats *w)
{
	ring_stats(d->ring, r);
	writer_stats(d->writer, w);
}

static void tell_status(struct ioflushd *d, const struct ring_stats *r, const struct writer_stats *w)
{
	uint64_t lost = health_lost(r, w);

	if (clock_s() < d->status_at || (d->status_at && r->events == d->events && lost == d->lost && !w->failing[0]))
		return;
	d->status_at = clock_s() + STATUS_INTERVAL_S;
	d->events = r->events;
	d->lost = lost;
	notify_status("Capture %" PRIu64 ": %" PRIu64 " events, %" PRIu64 " lost%s%s", w->capture, r->events, lost,
		      w->failing[0] ? "; the database takes no rows: " : "", w->failing);
}

/* Feeds the watchdog only if buffers were drained since the last time. */
static void tell_alive(struct ioflushd *d, const struct ring_stats *r)
{
	if (!d->notify.watchdog_us || clock_s() < d->alive_at || r->drains == d->drains)
		return;
	notify_alive();
	d->drains = r->drains;
	d->alive_at = clock_s() + d->notify.watchdog_us / 2000000;
}

/* Counts what the probes missed since recording began. */
static void look_for_missed(struct ioflushd *d)
{
	uint64_t total;

	if (d->counts_missed && !priv_missed(d->priv, &total))
		ring_missed(d->ring, total);
}

/* Checks whether others turned off or restricted recording: nothing else would show that events are missing. */
static void look_for_changes(struct ioflushd *d)
{
	struct error e = {0};
	int rc = priv_unchanged(d->priv, &e);

	if (rc > 0)
		return;
	if (rc && !d->changed)
		log_error("somebody else has changed how the kernel records: %s; what is missing for that cannot be "
			  "counted: put it back, or restart ioflushd",
			  e.text);
	else if (!rc && d->changed)
		log_notice("the kernel records as it was told to, again");
	d->changed = rc;
	ring_watched(d->ring, d->changed);
}

static void on_tick(void *ctx)
{
	struct ioflushd *d = ctx;
	struct writer_stats w;
	struct ring_stats r;
	struct error e = {0};

	if (cpus_update(d, false, &e)) {
		fail(d, &e);
		return;
	}
	if (clock_s() >= d->watch_at) {
		d->watch_at = clock_s() + WATCH_INTERVAL_S;
		look_for_missed(d);
		look_for_changes(d);
	}
	stats(d, &r, &w);
	health_update(&d->health, clock_s(), &r, &w);
	tell_alive(d, &r);
	tell_status(d, &r, &w);
}

static void on_stop(void *ctx, int signal)
{
	struct ioflushd *d = ctx;

	log_info("stopping (signal %d)", signal);
	loop_stop(d->loop);
}

/* --- callbacks of HTTP, on its thread */

static uint64_t live_drain_interval(void *ctx)
{
	struct ioflushd *d = ctx;

	return atomic_load(&d->drain_interval);
}

static void live_capture(void *ctx, struct ring_stats *out)
{
	struct ioflushd *d = ctx;

	ring_stats(d->ring, out);
}

static void live_writer(void *ctx, struct writer_stats *out)
{
	struct ioflushd *d = ctx;

	writer_stats(d->writer, out);
}

static void live_kinds(void *ctx, uint64_t by_kind[EV_KINDS])
{
	struct ioflushd *d = ctx;

	for (size_t k = 0; k < EV_KINDS; k++)
		by_kind[k] = atomic_load_explicit(&d->kinds[k], memory_order_relaxed);
}

static void sink_events(void *ctx, const struct event *ev, size_t n)
{
	struct ioflushd *d = ctx;
	uint64_t kinds[EV_KINDS] = {0};

	for (size_t i = 0; i < n; i++)
		kinds[ev[i].kind]++;
	for (size_t k = 0; k < EV_KINDS; k++)
		if (kinds[k])
			atomic_fetch_add_explicit(&d->kinds[k], kinds[k], memory_order_relaxed);
	writer_put(d->writer, ev, n);
}

/* --- start */

/* The probe lines in use. From them a report knows which events the capture cannot have. */
static char *armed_lines(const struct priv_armed *a)
{
	size_t len;
	char *text = NULL;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (size_t i = 0; i < a->nevents; i++)
		if (a->event[i].alt >= 0 && a->event[i].line)
			fprintf(f, "%s\n", a->event[i].line);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static void say_armed(const struct priv_armed *a)
{
	const char *offsets = NULL;
	size_t had = 0;

	for (size_t i = 0; i < a->nevents; i++) {
		const struct armed_event *ev = &a->event[i];

		had += ev->alt >= 0;
		if (ev->alt < 0)
			log_warning("no event %s: %s", ev->name, ev->refused ? ev->refused : "no alternative");
		else if (ev->lost)
			log_notice("event %s by alternative %d; lost with it: %s", ev->name, ev->alt + 1, ev->lost);
		offsets = offsets ? offsets : ev->offsets;
	}
	if (offsets)
		log_notice("offsets of struct members are from %s", offsets);
	log_info("%zu of %zu probes armed", had, a->nevents);
}

static int start_writer(struct ioflushd *d, struct error *e)
{
	struct capture meta;
	char *lines = armed_lines(&d->armed), *source = NULL;
	struct utsname u;

	if (!lines || asprintf(&source, "%s/instances/%s", d->config.tracefs, d->config.instance) < 0) {
		free(lines);
		return error_errno(e, "starting the writer");
	}
	capture_init(&meta, 0, source, "live");
	meta.clock = "mono";
	meta.probes = lines;
	if (!uname(&u)) {
		meta.host = u.nodename;
		meta.kernel = u.release;
	}
	d->writer = writer_new(&d->config, &meta, d->strings, e);
	free(source);
	free(lines);
	return d->writer ? 0 : -1;
}

/* For the decoder a probe of ours has a fixed system, whatever our group is. A tracepoint's line has no blank. */
static bool is_tracepoint(const struct armed_event *a)
{
	return !strchr(a->line, ' ');
}

static const char *system_of(const struct armed_event *a)
{
	return is_tracepoint(a) ? a->system : "ioflush";
}

/* Whether tracepoints replace probes. */
static bool takes_tracepoints(const struct priv_armed *a)
{
	for (size_t i = 0; i < a->nevents; i++)
		if (a->event[i].line && is_tracepoint(&a->event[i]) &&
		    event_kind_by_name(a->event[i].name, strlen(a->event[i].name)) != EV_NONE)
			return true;
	return false;
}

static int start_ring(struct ioflushd *d, struct error *e)
{
	const struct ring_options o = {
		.merge_window_ns = d->config.merge_window * 1000000,
		.merge_bytes = d->config.merge_bytes,
		.tracepoints = takes_tracepoints(&d->armed),
		.sink = {d, sink_events},
	};
	const struct priv_armed *a = &d->armed;

	d->ring = ring_new(&o, d->strings, e);
	if (!d->ring || ring_header_page(d->ring, a->header_page, a->header_page_len, e))
		return -1;
	for (size_t i = 0; i < a->nevents; i++)
		if (a->format[i] && ring_format(d->ring, system_of(&a->event[i]), a->format[i], a->format_len[i], e))
			return -1;
	ring_cmdlines(d->ring, priv_open_cmdlines(d->priv));
	ring_symbols(d->ring, priv_open_symbols(d->priv));
	return 0;
}

/* Binds the address. Requests are answered only after http_start(), when there is a writer to ask. */
static int open_http(struct ioflushd *d, struct error *e)
{
	const struct api_live live = {d, live_capture, live_writer, &d->armed, live_kinds, live_drain_interval};

	if (!strcmp(d->config.listen, "none"))
		return 0;
	atomic_store(&d->drain_interval, d->config.drain_interval);
	d->api = api_new(&d->config, &live, e);
	if (!d->api)
		return -1;
	d->http = http_new(&d->config, d->api, e);
	return d->http ? 0 : -1;
}

/* Records that were missed before recording began do not count. */
static void begin_to_count_missed(struct ioflushd *d)
{
	bool has_kprobe = false;
	uint64_t missed;

	for (size_t i = 0; i < d->armed.nevents; i++) {
		const struct armed_event *a = &d->armed.event[i];

		has_kprobe |= a->alt >= 0 && strchr("pr", a->line[0]) && !is_tracepoint(a) &&
			      !probe_line_is_uprobe(a->line);
	}
	d->counts_missed = has_kprobe && !priv_missed(d->priv, &missed);
	if (d->counts_missed)
		ring_missed(d->ring, missed);
	else if (has_kprobe)
		log_warning("what kprobes miss cannot be counted: kprobe_profile: %s", strerror(errno));
}

/* As far as possible, what can fail comes before the writer, which begins a capture in the database. */
static int start(struct ioflushd *d, struct error *e)
{
	const struct loop_ops ops = {d, on_drain, on_tick, options_reload, on_stop};

	d->loop = loop_new(&ops, d->config.drain_interval, e);
	if (!d->loop)
		return -1;
	if (priv_armed(d->priv, &d->armed, e))
		return -1;
	say_armed(&d->armed);
	d->strings = intern_new();
	if (!d->strings)
		return error_errno(e, "strings");
	if (start_ring(d, e) || cpus_update(d, true, e) || open_http(d, e) || start_writer(d, e))
		return -1;
	if (d->http && http_start(d->http, e))
		return -1;
	begin_to_count_missed(d);
	return priv_trace_on(d->priv, true, e);
}

/* --- stop */

/* Reads what is in the buffers now, and no more: without the privileged process tracing cannot be turned off. */
static void drain_rest(struct ioflushd *d)
{
	uint64_t most = d->cpus.n * (d->config.buffer_size / 4096 + 2), done = 0;
	struct error e = {0};
	long pages;
	int gone;

	look_for_changes(d);
	if (priv_trace_on(d->priv, false, &e))
		log_error("%s", e.text);
	e.text[0] = '\0';
	look_for_missed(d);
	do {
		pages = ring_drain(d->ring, DRAIN_PAGES, &gone, &e);
		done += pages > 0 ? (uint64_t)pages : 0;
	} while (pages > 0 && done < most);
	if (pages < 0 || ring_finish(d->ring, &e))
		log_error("last drain: %s", e.text);
}

/* why: recording failed, so the capture is not complete; NULL: it was told to end. */
static int stop_recording(struct ioflushd *d, const char *why)
{
	struct ring_stats r;
	struct writer_stats w;
	struct dropped dropped;
	struct error e = {0};
	int rc = 0;

	if (!d->writer)
		return 0;
	drain_rest(d);
	ring_dropped(d->ring, &dropped);
	writer_dropped(d->writer, &dropped);
	if (why)
		writer_cut_off(d->writer, why);
	http_free(d->http);
	d->http = NULL;
	api_free(d->api);
	d->api = NULL;
	stats(d, &r, &w);
	health_say_losses(&d->health, &r, &w);
	log_info("capture %" PRIu64 ": %" PRIu64 " events, %" PRIu64 " lost", w.capture, r.events, health_lost(&r, &w));
	rc = writer_close(d->writer, &e);
	if (rc)
		log_error("closing the capture: %s", e.text);
	d->writer = NULL;
	return rc;
}

static void free_all(struct ioflushd *d)
{
	http_free(d->http);
	api_free(d->api);
	ring_free(d->ring);
	loop_free(d->loop);
	priv_armed_free(&d->armed);
	priv_close(d->priv);
	intern_free(d->strings);
	free(d->cpus.cpu);
}

/* The child: everything that records. Its exit status becomes that of ioflushd. */
static int record(struct ioflushd *d)
{
	int rc = DAEMON_EXIT_OK;

	if (!start(d, &d->failed)) {
		notify_ready();
		log_info("recording into %s", d->config.db);
		d->alive_at = d->status_at = 0;
		loop_run(d->loop, &d->failed);
		notify_stopping();
	}
	if (d->failed.text[0]) {
		log_error("%s", d->failed.text);
		rc = DAEMON_EXIT_ERROR;
	}
	if (stop_recording(d, d->failed.text[0] ? d->failed.text : NULL))
		rc = DAEMON_EXIT_ERROR;
	free_all(d);
	return rc;
}

/*
 * The API's socket is in a folder under /run, which is empty after each boot. If systemd has not made the folder, it is
 * made here, before the privileges for that are dropped, and given to the user that will listen there. Its parent must
 * exist. If this fails, the listener reports why.
 */
static void make_socket_folder(const struct config *c)
{
	char *dir = NULL, *slash;
	const struct passwd *pw;
	struct error none = {""}; /* the listener reports it */
	gid_t group;
	int fd = -1;

	if (strncmp(c->listen, "unix:/", 6))
		return;
	dir = strdup(c->listen + 5);
	slash = dir ? strrchr(dir, '/') : NULL;
	if (!slash || slash == dir)
		goto out;
	*slash = '\0';
	if (mkdir(dir, 0750))
		goto out;
	log_info("made the folder %s for the API's socket", dir);
	pw = *c->user ? getpwnam(c->user) : NULL;
	if (config_listen_group(c, &group, &none) <= 0)
		group = pw ? pw->pw_gid : (gid_t)-1;
	/* if something else is at the path by now, it is not given away */
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, pw ? pw->pw_uid : (uid_t)-1, group))
		log_warning("%s: giving it to %s: %s", dir, pw ? c->user : c->listen_group, strerror(errno));
out:
	if (fd >= 0)
		close(fd);
	free(dir);
}

/* Until the loop takes them: there is nothing to reload yet, and a client that hangs up must not kill us. */
static void calm_signals(void)
{
	struct sigaction sa = {.sa_handler = SIG_IGN};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static int say_error(int status, const struct error *e)
{
	fprintf(stderr, "ioflushd: %s\n", e->text);
	return status;
}

/* --check and --disarm must finish their work in tracefs: a signal to stop has to wait. */
static int run_once(const struct config *c, struct error *e)
{
	unsigned removed;
	sigset_t old;
	int status;

	priv_hold_signals(&old);
	if (c->check) {
		status = check_host(c, stdout, e);
	} else {
		status = priv_disarm(c, &removed, e);
		if (!status && removed)
			printf("instance %s: %u leftovers (probes, and the instance) are removed\n", c->instance,
			       removed);
		else if (!status)
			printf("instance %s: nothing is left over\n", c->instance);
	}
	fflush(stdout);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

static int run_daemon(struct ioflushd *d)
{
	struct error e = {0};
	int status = DAEMON_EXIT_ERROR;
	int rc = options_read(&d->config, d->argc, d->argv, &e);

	if (rc)
		return rc > 0 ? DAEMON_EXIT_OK : say_error(DAEMON_EXIT_USAGE, &e);
	options_open_log(&d->config);
	if (d->config.check || d->config.disarm) {
		status = run_once(&d->config, &e);
		return status ? say_error(status, &e) : 0;
	}
	calm_signals();
	notify_init(&d->notify);
	if (!*d->config.user && !geteuid())
		log_notice("no user is configured: decoding, database and HTTP run as root too (option user)");
	make_socket_folder(&d->config);
	if (priv_start(&d->priv, &d->config, &status, &e)) {
		log_error("%s", e.text);
		return status;
	}
	return record(d);
}

int daemon_main(int argc, char **argv)
{
	struct ioflushd d = {.argc = argc, .argv = argv};
	int status;

	umask(umask(0) | 027); /* recordings are not for everybody, whoever starts us */
	status = run_daemon(&d);
	config_free(&d.config);
	return status;
}
