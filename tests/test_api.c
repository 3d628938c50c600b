/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API without a socket: requests in, answers out, with a database made here, made-up live numbers, and the real
 * ioflush for its questions (IOFLUSH; without it those tests are skipped).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

#include "base/json.h"
#include "daemon/api/db.h"
#include "tests/api_fixture.h"
#include "tests/files.h"
#include "tests/json.h"
#include "trace/store/trim.h"

struct test {
	struct fixture f;
	struct api *api;
	struct api_response late;
	bool answered;
	unsigned open; /* descriptors before it */
};

static void on_late(void *ctx, struct api_response *r)
{
	struct test *t = ctx;

	assert_false(t->answered);
	t->late = *r;
	t->answered = true;
}

static void nap(void)
{
	const struct timespec ts = {.tv_nsec = 5000000};

	nanosleep(&ts, NULL);
}

/* Asks and, if need be, ticks until the answer is there. The body is the caller's. */
static struct api_response ask_body(struct test *t, const char *method, const char *path, const char *query,
				    const char *body)
{
	const struct api_request q = {
		.method = method, .path = path, .query = query, .body = body, .body_len = body ? strlen(body) : 0};
	struct api_response r;

	t->answered = false;
	if (api_handle(t->api, &q, &r, on_late, t))
		return r;
	for (int i = 0; i < 4000 && !t->answered; i++) {
		api_tick(t->api);
		nap();
	}
	assert_true(t->answered);
	return t->late;
}

/* The JSON of an answer that must have this status. */
static struct json *json_of(struct test *t, int status, const char *method, const char *path, const char *query,
			    const char *body)
{
	struct api_response r = ask_body(t, method, path, query, body);
	struct json *json = json_read(r.body, r.body_len, NULL);

	if (r.status != status)
		print_error("%s %s?%s: %d %s\n", method, path, query ? query : "", r.status, r.body);
	assert_int_equal(r.status, status);
	assert_string_equal(r.content_type, "application/json");
	assert_non_null(json);
	free(r.body);
	return json;
}

static struct json *get(struct test *t, const char *path, const char *query)
{
	return json_of(t, 200, "GET", path, query, NULL);
}

static bool has_metric(struct test *t, const char *sample)
{
	struct api_response r = ask_body(t, "GET", "/metrics", NULL, NULL);
	char line[128];
	bool found;

	snprintf(line, sizeof(line), "\nioflush_%s\n", sample);
	found = strstr(r.body, line);
	free(r.body);
	return found;
}

/* An answer that must be an error about a field (NULL: none). */
static void refused_body(struct test *t, int status, const char *method, const char *path, const char *query,
			 const char *body, const char *field)
{
	struct json *json = json_of(t, status, method, path, query, body), *e = json_get(json, "error");
	const char *got = json_get_text(json_get(e, "field"));

	assert_true(strlen(json_get_text(json_get(e, "code"))) > 0);
	assert_true(strlen(json_get_text(json_get(e, "message"))) > 0);
	if (!field)
		assert_true(json_is_null(json_get(e, "field")));
	else
		assert_string_equal(got, field);
	json_free(json);
}

static void refused(struct test *t, int status, const char *path, const char *query, const char *field)
{
	refused_body(t, status, "GET", path, query, NULL, field);
}

static long long number(const struct json *json, const char *key)
{
	const char *digits = json_get_digits(json_get(json, key));

	assert_non_null(digits);
	assert_int_equal(strspn(digits, "0123456789"), strlen(digits));
	return strtoll(digits, NULL, 10);
}

static const char *text(struct json *json, const char *key)
{
	const char *s = json_get_text(json_get(json, key));

	assert_non_null(s);
	return s;
}

static int set_up(void **state)
{
	struct test *t = calloc(1, sizeof(*t));
	struct error e = {""};

	*state = t;
	t->open = descriptors();
	if (fixture_make(&t->f, &e) || !(t->api = api_new(&t->f.config, &t->f.live, &e))) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	struct test *t = *state;

	unsigned left;

	api_free(t->api);
	fixture_remove(&t->f);
	left = descriptors() - t->open;
	free(t);
	if (left)
		print_error("%u descriptors are left open\n", left);
	return left ? -1 : 0;
}

static void need_ioflush(struct test *t)
{
	if (access(t->f.program, X_OK)) {
		print_message("no ioflush at %s\n", t->f.program);
		skip();
	}
}

static void test_status(void **state)
{
	struct test *t = *state;
	struct json *s = get(t, "/v1/status", NULL), *losses = json_get(s, "losses"), *probe;

	assert_int_equal(number(json_get(s, "capture"), "id"), 3);
	assert_int_equal(number(losses, "records"), 15);
	assert_int_equal(number(losses, "unknown"), 1);
	assert_int_equal(number(json_get(losses, "by_cause"), "ring buffer"), 7);
	assert_int_equal(number(json_get(s, "names"), "not_kept"), 11);
	assert_int_equal(number(json_get(s, "names"), "not_stored"), 12);
	assert_int_equal(number(json_get(s, "names"), "doubtful"), 2);
	assert_int_equal(number(json_get(s, "queue"), "events"), 3);
	assert_int_equal(number(json_get(s, "database"), "bytes"), 123456);
	assert_int_equal(json_count(json_get(s, "probes")), 3);
	probe = json_at(json_get(s, "probes"), 1);
	assert_int_equal(number(probe, "alternative"), 1);
	assert_string_equal(text(probe, "lost"), "the size");
	probe = json_at(json_get(s, "probes"), 2);
	assert_true(json_is_null(json_get(probe, "alternative")));
	assert_string_equal(text(probe, "refused"), "No such file");
	json_free(s);
}

static void test_health(void **state)
{
	struct test *t = *state;
	struct json *h = get(t, "/healthz", NULL);

	assert_string_equal(text(h, "status"), "ok");
	json_free(h);
	strcpy(t->f.writer.failing, "disk full");
	h = json_of(t, 503, "GET", "/healthz", NULL, NULL);
	assert_string_equal(text(h, "status"), "failing");
	assert_non_null(strstr(json_get_text(json_at(json_get(h, "causes"), 0)), "disk full"));
	json_free(h);
	assert_true(has_metric(t, "healthy 0") && has_metric(t, "database_failing 1"));
	t->f.writer.failing[0] = '\0';
	t->f.ring.changed = true;
	h = json_of(t, 503, "GET", "/healthz", NULL, NULL);
	assert_int_equal(json_count(json_get(h, "causes")), 1);
	assert_non_null(strstr(json_get_text(json_at(json_get(h, "causes"), 0)), "somebody else"));
	json_free(h);
	t->f.ring.changed = false;
	h = get(t, "/healthz", NULL);
	json_free(h);
}

static double real(struct json *json, const char *key)
{
	const char *digits = json_get_digits(json_get(json, key));

	assert_non_null(digits);
	return strtod(digits, NULL);
}

/* What came since the rates' beginning, over the time since then. */
static void test_rates(void **state)
{
	struct test *t = *state;
	struct json *s = get(t, "/v1/status", NULL), *rates;
	double seconds;

	json_free(s);
	t->f.ring.records += 6000;
	t->f.ring.events += 5000;
	t->f.writer.rows += 4000;
	for (int i = 0; i < 20; i++)
		nap();
	s = get(t, "/v1/status", NULL);
	rates = json_get(s, "rates");
	seconds = real(rates, "seconds");
	assert_true(seconds > 0.09 && seconds < 9);
	assert_in_range(real(rates, "records_per_second") * seconds + 0.5, 5999, 6001);
	assert_in_range(real(rates, "events_per_second") * seconds + 0.5, 4999, 5001);
	assert_in_range(real(rates, "rows_per_second") * seconds + 0.5, 3999, 4001);
	json_free(s);
}

/* What counts as standing still follows the drain interval, which a reload may change. */
static void test_health_interval(void **state)
{
	struct test *t = *state;
	struct json *h = get(t, "/healthz", NULL);

	json_free(h);
	t->f.config.drain_interval = 1000;
	sleep(6); /* more than the least of 5 s, less than 20 intervals */
	h = get(t, "/healthz", NULL);
	json_free(h);
	t->f.config.drain_interval = 100;
	h = json_of(t, 503, "GET", "/healthz", NULL, NULL);
	assert_non_null(strstr(json_get_text(json_at(json_get(h, "causes"), 0)), "not drained"));
	json_free(h);
}

static void test_captures(void **state)
{
	struct test *t = *state;
	struct json *all = get(t, "/v1/captures", NULL), *c, *list = json_get(all, "captures");

	assert_int_equal(json_count(list), 3);
	assert_true(json_is_null(json_get(all, "cursor")));
	c = json_at(list, 0);
	assert_int_equal(number(c, "id"), 3);
	assert_string_equal(text(c, "state"), "recording");
	json_free(all);
	c = get(t, "/v1/captures/2", NULL);
	assert_string_equal(text(c, "state"), "cut-off");
	assert_string_equal(text(c, "host"), "h\xc3\xa9");
	assert_int_equal(number(json_get(c, "losses"), "records"), 12);
	assert_int_equal(number(json_get(c, "losses"), "unknown"), 1);
	assert_int_equal(number(json_get(json_get(c, "losses"), "by_cause"), "ring buffer"), 12);
	assert_int_equal(json_count(json_get(c, "probes")), 2);
	json_free(c);
	/* by pages of one */
	all = get(t, "/v1/captures", "limit=1&cursor=3");
	assert_int_equal(number(json_at(json_get(all, "captures"), 0), "id"), 2);
	assert_int_equal(number(all, "cursor"), 2);
	json_free(all);
	refused(t, 404, "/v1/captures/9", NULL, NULL);
	refused(t, 404, "/v1/captures/0", NULL, NULL);
	refused(t, 404, "/v1/captures/xyz", NULL, NULL);
	refused(t, 404, "/v1/captures/1/x", NULL, NULL);
	refused(t, 400, "/v1/captures", "limit=0", "limit");
	refused(t, 400, "/v1/captures", "nonsense=1", "nonsense");
}

/* Follows the cursor to the end; how many events came, whose ids must rise (fall) without a repeat. */
static size_t follow(struct test *t, const char *filter, bool descending)
{
	long long cursor = -1, last = descending ? INT64_MAX : 0;
	size_t n = 0;
	struct json *page, *ev;
	char query[256];
	bool more = true;

	for (int guard = 0; more && guard < 1000; guard++) {
		if (cursor < 0)
			snprintf(query, sizeof(query), "%s", filter);
		else
			snprintf(query, sizeof(query), "%s&cursor=%lld", filter, cursor);
		page = get(t, "/v1/events", query);
		for (ev = json_first(json_get(page, "events")); ev; ev = json_next(ev)) {
			assert_true(descending ? number(ev, "id") < last : number(ev, "id") > last);
			last = number(ev, "id");
			n++;
		}
		cursor = number(page, "cursor");
		more = json_is_true(json_get(page, "more"));
		json_free(page);
	}
	assert_false(more);
	return n;
}

static void test_events(void **state)
{
	struct test *t = *state;
	struct json *page, *ev;

	assert_int_equal(follow(t, "capture=1", false), 26);
	assert_int_equal(follow(t, "capture=1&limit=1", false), 26);
	assert_int_equal(follow(t, "capture=1&limit=7&order=desc", true), 26);
	assert_int_equal(follow(t, "capture=all&limit=5", false), 48);
	assert_int_equal(follow(t, "capture=all&limit=5&order=desc", true), 48);
	assert_int_equal(follow(t, "limit=3", false), 11); /* the newest */
	assert_int_equal(follow(t, "capture=2&kind=map,lost", false), 4);
	assert_int_equal(follow(t, "capture=2&domain=0xff11000000000100", false), 7);
	assert_int_equal(follow(t, "capture=2&domain=0xff11000000000100&kind=map", false), 2);
	assert_int_equal(follow(t, "capture=2&iopt=0xff11000000000040", false), 4);
	assert_int_equal(follow(t, "capture=2&iopt=0x1", false), 0);
	assert_int_equal(follow(t, "capture=1&from=1000014460&to=1000018285", false), 3);
	assert_int_equal(follow(t, "capture=1&from=1000014460&to=1000018285&order=desc&limit=1", true), 3);
	assert_int_equal(follow(t, "capture=1&from=1000014461", false), 21);
	assert_int_equal(follow(t, "capture=1&to=5", false), 0);
	assert_int_equal(follow(t, "capture=1&from=9999999999", false), 0);

	page = get(t, "/v1/events", "capture=2&limit=1");
	ev = json_at(json_get(page, "events"), 0);
	assert_string_equal(text(ev, "e"), "attach");
	assert_string_equal(text(ev, "domain"), "0xff11000000000100");
	assert_string_equal(text(ev, "device"), "0000:00:02.0");
	assert_string_equal(text(ev, "comm"), "qemu");
	json_free(page);
	page = get(t, "/v1/events", "capture=2&kind=lost");
	ev = json_at(json_get(page, "events"), 1);
	assert_true(json_is_null(json_get(ev, "count")));
	assert_true(json_is_null(json_get(ev, "tid")));
	assert_string_equal(text(ev, "cause"), "ring buffer");
	json_free(page);
}

static void test_events_refused(void **state)
{
	static const struct {
		int status;
		const char *query, *field;
	} bad[] = {
		{400, "kind=nonsense", "kind"},
		{400, "limit=0", "limit"},
		{400, "limit=1001", "limit"},
		{400, "limit=-1", "limit"},
		{400, "limit=1e3", "limit"},
		{400, "domain=0x", "domain"},
		{400, "domain=0x10000000000000000", "domain"},
		{400, "order=up", "order"},
		{400, "cursor=zz", "cursor"},
		{400, "limit=1&limit=2", "limit"},
		{400, "a%00=1", NULL},
		{400, "a%4=1", NULL},
		{400, "%zz=1", NULL},
		{400, "unknown=1", "unknown"},
		{404, "capture=99", "capture"},
		{400, "capture=-1", "capture"},
		{422, "capture=all&from=1", "capture"},
		{422, "capture=1&from=5&to=4", "from"},
	};
	struct test *t = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(t, bad[i].status, "/v1/events", bad[i].query, bad[i].field);
}

/* A filter that lets nothing through must not look at all rows at once. */
static void test_bounded(void **state)
{
	enum { ROWS = 100000 };
	struct test *t = *state;
	struct intern *strings = intern_new();
	struct event *ev = calloc(ROWS, sizeof(*ev));
	const struct capture c = {
		.source = "live", .format = "live", .host = "", .kernel = "", .clock = "mono", .probes = ""};
	struct error e = {""};
	struct store *st;
	uint64_t id;
	struct json *page;

	assert_non_null(ev);
	for (size_t i = 0; i < ROWS; i++) {
		ev[i] = (struct event){.t = 10 * i, .tid = 1, .kind = EV_unmap};
		ev[i].unmap.domain = 0x100 + i;
		ev[i].unmap.size = 4096;
	}
	assert_int_equal(store_open(&st, t->f.db, STORE_WAL, &e), 0);
	assert_int_equal(store_begin(st, &e) || store_capture_begin(st, &c, &id, &e) ||
				 store_append(st, ev, ROWS, strings, &e) || store_capture_end(st, "complete", "", &e) ||
				 store_commit(st, &e),
			 0);
	store_close(st);
	intern_free(strings);
	free(ev);
	page = get(t, "/v1/events", "kind=map");
	assert_int_equal(json_count(json_get(page, "events")), 0);
	assert_true(json_is_true(json_get(page, "more")));
	assert_true(number(page, "cursor") < ROWS / 2);
	json_free(page);
	assert_int_equal(follow(t, "kind=map", false), 0);
	assert_int_equal(follow(t, "kind=map&order=desc", true), 0);
	assert_int_equal(follow(t, "domain=0x18000", false), 1);
	/* the last page says so, and its cursor is no further than what is there: what is recorded next comes behind it */
	for (int desc = 0; desc < 2; desc++) {
		page = get(t, "/v1/events", desc ? "from=999900&order=desc" : "from=999900");
		assert_int_equal(json_count(json_get(page, "events")), 10);
		assert_false(json_is_true(json_get(page, "more")));
		assert_int_equal(number(page, "cursor"), number(json_at(json_get(page, "events"), 9), "id"));
		json_free(page);
	}
	/* times are found without looking at what is before */
	page = get(t, "/v1/events", "from=900000&limit=1");
	assert_int_equal(number(json_at(json_get(page, "events"), 0), "t"), 900000);
	json_free(page);
	page = get(t, "/v1/events", "to=500005&limit=1&order=desc");
	assert_int_equal(number(json_at(json_get(page, "events"), 0), "t"), 500000);
	json_free(page);
}

/* A capture of n lost events, each of 2 records. Its number. */
static uint64_t add_lost_of(struct test *t, size_t n, const char *probes, const char *const *cause, size_t causes)
{
	const struct capture c = {
		.source = "live", .format = "live", .host = "", .kernel = "", .clock = "mono", .probes = probes};
	struct intern *strings = intern_new();
	struct event *ev = calloc(n, sizeof(*ev));
	struct error e = {""};
	struct store *st;
	uint64_t id;

	assert_non_null(ev);
	for (size_t i = 0; i < n; i++) {
		ev[i] = (struct event){.t = 10 * i, .tid = EVENT_NO_TID, .kind = EV_lost, .missing = 4};
		ev[i].lost.count = 2;
		ev[i].lost.cause = fixture_string(strings, cause[i % causes]);
	}
	assert_int_equal(store_open(&st, t->f.db, STORE_WAL, &e), 0);
	assert_int_equal(store_begin(st, &e) || store_capture_begin(st, &c, &id, &e) ||
				 store_append(st, ev, n, strings, &e) || store_capture_end(st, "complete", "", &e) ||
				 store_commit(st, &e),
			 0);
	store_close(st);
	intern_free(strings);
	free(ev);
	return id;
}

static uint64_t add_lost(struct test *t, size_t n, const char *probes)
{
	return add_lost_of(t, n, probes, (const char *const[]){"ring buffer", "queue"}, 2);
}

/* The definition of a probe is given whole, however long it is. */
static void test_long_probe(void **state)
{
	struct test *t = *state;
	char probes[4100], path[64];
	struct json *json, *list;

	memset(probes, 'x', sizeof(probes) - 1);
	probes[sizeof(probes) - 1] = '\0';
	memcpy(probes, "p:short\n", 8);
	snprintf(path, sizeof(path), "/v1/captures/%llu", (unsigned long long)add_lost(t, 1, probes));
	json = get(t, path, NULL);
	list = json_get(json, "probes");
	assert_int_equal(json_count(list), 2);
	assert_string_equal(json_get_text(json_at(list, 0)), "p:short");
	assert_int_equal(strlen(json_get_text(json_at(list, 1))), sizeof(probes) - 1 - 8);
	json_free(json);
}

/* A cause is a key: there once, in UTF-8, and no loss is left out, whatever a database calls it. */
static void test_cause_names(void **state)
{
	static const char long_b[] = "a cause of loss whose name is longer than what is kept of it, which is b";
	static const char long_c[] = "a cause of loss whose name is longer than what is kept of it, which is c";
	const char *const cause[] = {long_b, long_c, "other", "caf\xe9", "1", "2", "3",
				     "4",    "5",    "6",     "7",	 "8", "9", "10"};
	struct test *t = *state;
	struct json *json, *causes;
	long long sum = 0;
	char path[64];

	snprintf(path, sizeof(path), "/v1/captures/%llu", (unsigned long long)add_lost_of(t, 14, "", cause, 14));
	json = get(t, path, NULL);
	causes = json_get(json_get(json, "losses"), "by_cause");
	assert_int_equal(number(causes, "caf?"), 2);
	for (const struct json *v = json_first(causes); v; v = json_next(v))
		sum += number(causes, json_key(v));
	assert_int_equal(sum, 28);
	assert_int_equal(json_count(causes), 11);
	assert_int_equal(number(causes, "other"), 6);
	json_free(json);
}

/* Lost events of all captures on a page that say that there are more to look at; *records: of those looked at. */
static unsigned unfinished(struct test *t, long long *records)
{
	struct json *page = get(t, "/v1/captures", "limit=1000"), *c;
	unsigned more = 0;

	*records = 0;
	for (c = json_first(json_get(page, "captures")); c; c = json_next(c)) {
		more += json_is_true(json_get(json_get(c, "losses"), "more"));
		*records += number(json_get(c, "losses"), "records");
	}
	json_free(page);
	return more;
}

/* One answer looks at a bounded number of lost events, however many captures it has; the next ones see the rest. */
static void test_many_losses(void **state)
{
	struct test *t = *state;
	long long records, before;
	unsigned asked = 1;

	for (int i = 0; i < 20; i++)
		add_lost(t, 1000, "");
	assert_true(unfinished(t, &records) > 10);
	assert_true(records <= 2 * API_DB_LOSS_ROWS + 24);
	do {
		before = records;
		assert_true(asked++ < 5);
	} while (unfinished(t, &records) && records > before);
	assert_int_equal(unfinished(t, &records), 0);
	assert_int_equal(records, 20 * 2000 + 2 * 12);
}

/* Retention deletes lost events, which its mark then stands for: none of them may count twice, or stay. */
static void test_losses_retained(void **state)
{
	struct test *t = *state;
	uint64_t id = add_lost(t, 100, "");
	struct store_trimmed trimmed;
	struct error e = {""};
	struct store *st;
	struct json *c, *losses;
	char path[64];

	snprintf(path, sizeof(path), "/v1/captures/%llu", (unsigned long long)id);
	c = get(t, path, NULL);
	assert_int_equal(number(json_get(c, "losses"), "records"), 200);
	json_free(c);
	assert_int_equal(store_open(&st, t->f.db, STORE_WAL, &e), 0);
	assert_int_equal(store_begin(st, &e) || store_trim(st, id, UINT64_MAX, 60, &trimmed, &e) || store_commit(st, &e),
			 0);
	store_close(st);
	c = get(t, path, NULL);
	losses = json_get(c, "losses");
	assert_int_equal(number(losses, "records"), 200);
	assert_int_equal(number(losses, "places"), 41);
	losses = json_get(losses, "by_cause");
	assert_int_equal(number(losses, "retention"), 120);
	assert_int_equal(number(losses, "queue"), 40);
	assert_int_equal(number(losses, "ring buffer"), 40);
	json_free(c);
}

/* A capture of n unmaps, in a database that no log belongs to any more. */
static void add_unmaps(struct test *t, size_t n, const struct capture *c)
{
	struct intern *strings = intern_new();
	struct event ev = {.tid = 1, .kind = EV_unmap, .unmap = {.domain = 0x100, .size = 4096}};
	struct error e = {""};
	struct store *st;
	uint64_t id;

	assert_int_equal(store_open(&st, t->f.db, STORE_WAL, &e), 0);
	assert_int_equal(store_begin(st, &e) || store_capture_begin(st, c, &id, &e), 0);
	for (; n; n--) {
		ev.t += 10;
		assert_int_equal(store_append(st, &ev, 1, strings, &e), 0);
	}
	assert_int_equal(store_capture_end(st, "complete", "", &e) || store_commit(st, &e), 0);
	store_close(st);
	intern_free(strings);
}

static const struct capture plain = {
	.source = "live", .format = "live", .host = "", .kernel = "", .clock = "mono", .probes = ""};

/* Which page of the events' table is on the way to the event. */
static long page_of(const struct test *t, bool root)
{
	sqlite3_stmt *stmt;
	sqlite3 *db;
	long page;

	assert_int_equal(sqlite3_open(t->f.db, &db), SQLITE_OK);
	if (sqlite3_prepare_v2(
		    db,
		    root ? "SELECT rootpage FROM sqlite_schema WHERE name = 'event'" :
			   "SELECT pageno FROM dbstat WHERE name = 'event' AND pagetype = 'leaf' LIMIT 1 OFFSET 20",
		    -1, &stmt, NULL)) {
		sqlite3_close(db);
		print_message("skipped: this SQLite has no dbstat\n");
		skip();
	}
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	page = (long)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return page;
}

/* The page's beginning changes places with the bytes. */
static void swap_bytes(const struct test *t, long page, char bytes[64])
{
	FILE *f = fopen(t->f.db, "r+");
	char was[64];

	assert_non_null(f);
	assert_int_equal(fseek(f, (page - 1) * 8192, SEEK_SET), 0);
	assert_int_equal(fread(was, 1, 64, f), 64);
	assert_int_equal(fseek(f, (page - 1) * 8192, SEEK_SET), 0);
	assert_int_equal(fwrite(bytes, 1, 64, f), 64);
	assert_int_equal(fclose(f), 0);
	memcpy(bytes, was, 64);
}

/* What of the database cannot be read is an error, never an answer that lacks it; once it can be, all is there again. */
static void test_damaged(void **state)
{
	static const char *const asked[] = {"capture=all",
					    "capture=4",
					    "capture=4&order=desc",
					    "capture=4&from=100000",
					    "capture=4&to=100000",
					    "capture=4&to=100000&from=99000",
					    "capture=1"};
	struct test *t = *state;
	char bytes[64];
	long page;

	add_unmaps(t, 20000, &plain);
	page = page_of(t, true);
	memset(bytes, 0xff, sizeof(bytes));
	swap_bytes(t, page, bytes);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		refused(t, 503, "/v1/events", asked[i], NULL);
	refused(t, 503, "/v1/captures", NULL, NULL);
	refused(t, 503, "/v1/captures/2", NULL, NULL);
	json_free(get(t, "/v1/status", NULL));
	swap_bytes(t, page, bytes);
	assert_int_equal(follow(t, "capture=4&limit=1000", false), 20000);
	json_free(get(t, "/v1/captures/2", NULL));
	json_free(get(t, "/v1/captures", NULL));

	/* a page amid what is read */
	page = page_of(t, false);
	api_free(t->api);
	t->api = api_new(&t->f.config, &t->f.live, &(struct error){""});
	memset(bytes, 0xff, sizeof(bytes));
	swap_bytes(t, page, bytes);
	refused(t, 503, "/v1/events", "capture=4&kind=map", NULL);
	refused(t, 503, "/v1/events", "capture=4&kind=map&order=desc&to=90000", NULL);
	swap_bytes(t, page, bytes);
	assert_int_equal(follow(t, "capture=4&limit=1000", false), 20000);
}

/* Texts that together are more than an answer may hold. */
static void test_long_texts(void **state)
{
	struct test *t = *state;
	char host[40001], kernel[40001];
	struct capture c = plain;
	struct json *json;

	memset(host, 'h', sizeof(host) - 1);
	memset(kernel, 'k', sizeof(kernel) - 1);
	host[sizeof(host) - 1] = kernel[sizeof(kernel) - 1] = '\0';
	c.host = host;
	c.kernel = kernel;
	add_unmaps(t, 1, &c);
	for (int i = 0; i < 2; i++) {
		json = json_of(t, 503, "GET", i ? "/v1/captures" : "/v1/captures/4", NULL, NULL);
		assert_non_null(strstr(text(json_get(json, "error"), "message"),
				       "capture 4: texts of 80020 bytes: the database is damaged"));
		json_free(json);
	}
	json_free(get(t, "/v1/captures/3", NULL));
}

/* A capture without events has lost nothing, for sure; and there is nothing of it to read. */
static void test_no_events(void **state)
{
	struct test *t = *state;
	struct json *json, *losses;

	add_unmaps(t, 0, &plain);
	json = get(t, "/v1/captures/4", NULL);
	losses = json_get(json, "losses");
	assert_int_equal(number(json, "events"), 0);
	assert_true(json_is_null(json_get(json, "first_t")) && json_is_null(json_get(json, "last_t")));
	assert_int_equal(number(losses, "records"), 0);
	assert_false(json_is_true(json_get(losses, "more")));
	json_free(json);
	assert_int_equal(follow(t, "capture=4", false), 0);
	assert_int_equal(follow(t, "capture=4&from=1&to=2&order=desc", true), 0);
}

static void test_no_database(void **state)
{
	struct test *t = *state;
	char away[1100];
	struct json *json;

	json_free(get(t, "/v1/captures", NULL));
	snprintf(away, sizeof(away), "%s-away", t->f.db);
	assert_int_equal(rename(t->f.db, away), 0);
	refused(t, 503, "/v1/captures", NULL, NULL);
	refused(t, 503, "/v1/events", NULL, NULL);
	refused(t, 503, "/v1/domains", NULL, NULL);
	json_free(get(t, "/v1/status", NULL));
	assert_int_equal(rename(away, t->f.db), 0);
	json = get(t, "/v1/captures/1", NULL); /* it is there again */
	assert_int_equal(number(json, "events"), 26);
	json_free(json);
}

/* Ticks until the replay is what is asked for, or fails. */
static struct json *wait_replay(struct test *t, const char *path, const char *want)
{
	struct json *json;

	for (int i = 0; i < 4000; i++) {
		api_tick(t->api);
		json = get(t, path, NULL);
		if (!strcmp(text(json, "state"), want))
			return json;
		json_free(json);
		nap();
	}
	fail_msg("%s is never %s", path, want);
	return NULL;
}

static char *post_replay(struct test *t, const char *body)
{
	struct api_response r = ask_body(t, "POST", "/v1/replays", NULL, body);
	char *path;

	assert_int_equal(r.status, 202);
	assert_non_null(r.location);
	path = strdup(r.location);
	free(r.body);
	return path;
}

/* The file at the path is copied, and the copy put in its place: another file, whatever it holds. */
static void replace_database(struct test *t, char away[1100])
{
	char command[6000], copy[1100];

	snprintf(away, 1100, "%s-away", t->f.db);
	snprintf(copy, sizeof(copy), "%s-copy", t->f.db);
	snprintf(command, sizeof(command), "cp '%s' '%s' && mv '%s' '%s' && mv '%s' '%s'", t->f.db, copy, t->f.db, away,
		 copy, t->f.db);
	assert_int_equal(system(command), 0);
}

static struct file_id file_at(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return file_id_of(&st);
}

/* What was opened first is asked, and no other file, until the recorder says that it records into that. */
static void test_another_file(void **state)
{
	struct test *t = *state;
	char away[1100];

	json_free(get(t, "/v1/captures", NULL));
	replace_database(t, away);
	refused(t, 503, "/v1/captures", NULL, NULL);
	refused(t, 503, "/v1/events", NULL, NULL);
	refused(t, 503, "/v1/domains", NULL, NULL);
	t->f.writer.file = file_at(t->f.db);
	json_free(get(t, "/v1/captures", NULL));
	/* the recorder keeps its file, and so does the API: wherever it is now, it is asked */
	unlink(away);
	replace_database(t, away);
	json_free(get(t, "/v1/captures", NULL));
	assert_int_equal(unlink(t->f.db), 0);
	json_free(get(t, "/v1/captures", NULL));
	assert_int_equal(rename(away, t->f.db), 0);
}

/* What runs for an answer opens the path by name: it is told which file is meant. */
static void test_another_file_replayed(void **state)
{
	struct test *t = *state;
	char away[1100], gaps[128], *path;
	struct json *json;

	need_ioflush(t);
	t->f.writer.file = file_at(t->f.db);
	json_free(get(t, "/v1/captures", NULL));
	replace_database(t, away);
	path = post_replay(t, "{\"capture\": 1}");
	json = wait_replay(t, path, "failed");
	assert_non_null(strstr(text(json, "error"), "it is not the file that --inode names"));
	json_free(json);
	snprintf(gaps, sizeof(gaps), "%s/gaps", path);
	refused(t, 503, gaps, "policy=none", NULL);
	refused(t, 503, "/v1/domains", NULL, NULL);
	assert_int_equal(rename(away, t->f.db), 0);
	json_free(get(t, gaps, "policy=none"));
	json_free(get(t, "/v1/domains", NULL));
	free(path);
}

static void test_displaced(void **state)
{
	struct test *t = *state;
	struct json *json;

	json = get(t, "/v1/status", NULL);
	assert_true(json_is_null(json_get(json_get(json, "database"), "displaced")));
	json_free(json);
	strcpy(t->f.writer.displaced, "another file lies there");
	json = json_of(t, 503, "GET", "/healthz", NULL, NULL);
	assert_string_equal(json_get_text(json_at(json_get(json, "causes"), 0)), "another file lies there");
	json_free(json);
	json = get(t, "/v1/status", NULL);
	assert_string_equal(text(json_get(json, "database"), "displaced"), "another file lies there");
	json_free(json);
}

static void test_state(void **state)
{
	struct test *t = *state;
	struct json *json, *d;

	need_ioflush(t);
	json = get(t, "/v1/domains", NULL);
	assert_int_equal(number(json, "capture"), 3);
	assert_int_equal(json_count(json_get(json, "domains")), 1);
	d = json_at(json_get(json, "domains"), 0);
	assert_string_equal(text(d, "domain"), "0xff11000000000100");
	assert_int_equal(number(d, "coherent"), 0);
	assert_string_equal(text(d, "device"), "0000:00:02.0");
	assert_int_equal(number(d, "mapped_pages"), 16);
	assert_int_equal(number(d, "exposed_pages"), 16);
	json_free(json);
	json = get(t, "/v1/iopts", "capture=2&at=1000014460");
	d = json_at(json_get(json, "iopts"), 0);
	assert_int_equal(number(d, "mapped_pages"), 14);
	assert_int_equal(number(d, "areas"), 1);
	json_free(json);
	json = get(t, "/v1/iopts", "capture=1");
	assert_int_equal(json_count(json_get(json, "iopts")), 0);
	json_free(json);
	refused(t, 404, "/v1/domains", "capture=9", "capture");
	refused(t, 400, "/v1/domains", "at=x", "at");
}

static void test_policies(void **state)
{
	struct test *t = *state;
	struct json *json;

	need_ioflush(t);
	json = get(t, "/v1/policies", NULL);
	assert_true(json_count(json_get(json, "policies")) >= 10);
	json_free(json);
}

static void test_replay(void **state)
{
	struct test *t = *state;
	char gaps[128], *path;
	struct json *json, *p;

	need_ioflush(t);
	json_free(get(t, "/v1/policies", NULL)); /* so that it knows them */
	path = post_replay(
		t, "{\"capture\": 1, \"policies\": [\"none\", \"sticky-v1\"], \"cost\": {\"cycles_per_page\": 10}}");
	json = wait_replay(t, path, "done");
	p = json_get(json_get(json_get(json, "result"), "policies"), "sticky-v1");
	assert_int_equal(number(p, "flush_pages"), 48);
	assert_int_equal(number(p, "cycles"), 480);
	assert_int_equal(number(json_get(p, "gaps"), "leak"), 16);
	json_free(json);
	snprintf(gaps, sizeof(gaps), "%s/gaps", path);
	json = get(t, gaps, "policy=sticky-v1&kind=leak");
	assert_int_equal(json_count(json_get(json, "findings")), 1);
	json_free(json);
	json = get(t, gaps, "policy=sticky-v1&kind=release");
	assert_int_equal(json_count(json_get(json, "findings")), 0);
	json_free(json);
	refused(t, 400, gaps, NULL, "policy");
	refused(t, 400, gaps, "policy=all", "policy");
	refused(t, 400, gaps, "policy=nonsense", "policy");
	refused(t, 400, gaps, "policy=none&kind=bad", "kind");
	refused(t, 404, "/v1/replays/0x1/gaps", "policy=none", NULL);
	json_free(get(t, "/v1/replays", NULL));
	{
		struct api_response r = ask_body(t, "DELETE", path, NULL, NULL);

		assert_int_equal(r.status, 204);
		free(r.body);
	}
	refused(t, 404, path, NULL, NULL);
	refused_body(t, 404, "DELETE", path, NULL, NULL, NULL);
	free(path);
}

/* A capture that is being recorded ends, for a replay, where it was then; a range ends it earlier. */
static void test_replay_range(void **state)
{
	struct test *t = *state;
	struct json *json, *trace;
	char *path;

	need_ioflush(t);
	path = post_replay(t, "{\"policies\": \"none\"}");
	json = wait_replay(t, path, "done");
	assert_int_equal(number(json, "capture"), 3);
	assert_int_equal(number(json, "to"), 1000022031);
	assert_int_equal(number(json_get(json_get(json, "result"), "trace"), "events"), 11);
	json_free(json);
	free(path);
	path = post_replay(
		t, "{\"capture\": 1, \"range\": {\"from\": 0, \"to\": \"1000014460\"}, \"policies\": [\"none\"]}");
	json = wait_replay(t, path, "done");
	trace = json_get(json_get(json, "result"), "trace");
	assert_int_equal(number(trace, "events"), 5);
	assert_true(json_is_string(json_get(json_at(json_get(trace, "captures"), 0), "partial")));
	json_free(json);
	free(path);
	/* more than a double tells apart */
	path = post_replay(t, "{\"capture\": 1, \"range\": {\"to\": 9007199254740993}, \"policies\": \"none\"}");
	json = wait_replay(t, path, "done");
	assert_int_equal(number(json, "to"), 9007199254740993);
	json_free(json);
	free(path);
	refused_body(t, 422, "POST", "/v1/replays", NULL, "{\"capture\": 9007199254740993}", "capture");
}

static void test_replay_refused(void **state)
{
	static const struct {
		int status;
		const char *body, *field;
	} bad[] = {
		{400, "", NULL},
		{400, "{", NULL},
		{400, "[]", NULL},
		{400, "{\"capture\": 1, \"capture\": 2}", NULL},
		{400, "{\"capture\": 01}", NULL},
		{400, "{\"capture\": 1} {}", NULL},
		{400, "{\"policies\": \"none\\u0000\"}", NULL},
		{400, "{\"policies\": \"none\xff\"}", NULL},
		{422, "{\"capture\": 99}", "capture"},
		{422, "{\"capture\": -1}", "capture"},
		{422, "{\"capture\": 1.5}", "capture"},
		{422, "{\"capture\": \"one\"}", "capture"},
		{422, "{\"captures\": 1}", "captures"},
		{422, "{\"range\": 1}", "range"},
		{422, "{\"range\": {\"until\": 1}}", "range.until"},
		{422, "{\"capture\": 1, \"range\": {\"from\": 1000014460}}", "range.from"},
		{422, "{\"capture\": 1, \"range\": {\"to\": 1}}", "range.to"},
		{422, "{\"policies\": []}", "policies"},
		{422, "{\"policies\": [1]}", "policies"},
		{422, "{\"policies\": [\"\"]}", "policies"},
		{422, "{\"policies\": \"none,\"}", "policies"},
		{422, "{\"policies\": [\"/tmp/x.so\"]}", "policies"},
		{422, "{\"policies\": [\"--plugin\"]}", "policies"},
		{422, "{\"policies\": [\"no-such-policy\"]}", "policies"},
		{422, "{\"cost\": 5}", "cost"},
		{422, "{\"cost\": {\"cpu_mhz\": 0}}", "cost.cpu_mhz"},
		{422, "{\"cost\": {\"euros\": 1}}", "cost.euros"},
	};
	struct test *t = *state;
	struct json *json;

	need_ioflush(t);
	json_free(get(t, "/v1/policies", NULL)); /* the names are known */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused_body(t, bad[i].status, "POST", "/v1/replays", NULL, bad[i].body, bad[i].field);
	json = json_of(t, 400, "POST", "/v1/replays", NULL, "{\"capture\":\n01}");
	assert_non_null(strstr(text(json_get(json, "error"), "message"), "(line 2, column 2)"));
	json_free(json);
}

/* A list of n bytes: as many "none" as it takes, behind a name that makes it so. */
static char *policies_text(size_t n, const char *first)
{
	char *s = malloc(n + 16);
	size_t len = (size_t)sprintf(s, "{\"policies\": \"%s", first);

	assert_int_equal((n - strlen(first)) % 5, 0);
	for (size_t i = strlen(first); i < n; i += 5)
		len += (size_t)sprintf(s + len, ",none");
	s = realloc(s, len + 3);
	strcpy(s + len, "\"}");
	return s;
}

/* What is too long for us is an error; what is only long comes back whole. */
static void test_nothing_cut(void **state)
{
	struct test *t = *state;
	char name[301], query[400], *body;
	struct error e = {""};
	struct json *json, *error;

	need_ioflush(t);
	json_free(get(t, "/v1/policies", NULL));
	body = policies_text(1023, "sticky-always"); /* and what would be left of a longer one */
	free(post_replay(t, body));
	free(body);
	body = policies_text(1028, "sticky-always");
	refused_body(t, 422, "POST", "/v1/replays", NULL, body, "policies");
	free(body);
	refused_body(t, 422, "POST", "/v1/replays", NULL, "{\"policies\": [\"\", \"none\"]}", "policies");

	memset(name, 'x', 300);
	name[300] = '\0';
	snprintf(query, sizeof(query), "{\"%s\": 1}", name);
	refused_body(t, 422, "POST", "/v1/replays", NULL, query, name);
	snprintf(query, sizeof(query), "%s=1", name);
	refused(t, 400, "/v1/events", query, name);
	snprintf(query, sizeof(query), "order=\xc3\xa9%.57s\xc3\xa9%s", name, name);
	json = json_of(t, 400, "GET", "/v1/events", query, NULL);
	error = json_get(json, "error");
	assert_non_null(strstr(text(error, "message"), "not '\xc3\xa9x"));
	assert_non_null(strstr(text(error, "message"), "xx'...")); /* at the end of a character */
	json_free(json);

	t->f.config.policies = policies_text(1028, "sticky-always");
	assert_null(api_new(&t->f.config, &t->f.live, &e));
	assert_non_null(strstr(e.text, "policies: longer than 1023 bytes"));
	free(t->f.config.policies);
}

/* replay-max = 0: said in words, and before anything else. */
static void test_replay_off(void **state)
{
	struct test *t = *state;
	struct json *json, *error;

	api_free(t->api);
	t->f.config.replay_max = 0;
	t->api = api_new(&t->f.config, &t->f.live, &(struct error){""});
	assert_non_null(t->api);
	json = json_of(t, 403, "POST", "/v1/replays", NULL, "{\"capture\": 1}");
	error = json_get(json, "error");
	assert_string_equal(text(error, "code"), "replays-off");
	assert_non_null(strstr(text(error, "message"), "replay-max = 0"));
	json_free(json);
	json = get(t, "/v1/replays", NULL);
	assert_int_equal(json_count(json_get(json, "replays")), 0);
	json_free(json);
}

/* Two run, two wait, one more is too many; one that is deleted makes room. */
static void test_replay_limit(void **state)
{
	struct test *t = *state;
	struct api_response r;
	struct json *json;
	char *path[4];

	/* a program that never ends, to be sure of who runs */
	api_free(t->api);
	snprintf(t->f.program, sizeof(t->f.program), "%s/slow", t->f.dir);
	{
		FILE *f = fopen(t->f.program, "w");

		assert_non_null(f);
		fputs("#!/bin/sh\necho 'progress 0.250 17' >&2\nexec sleep 1000\n", f);
		fclose(f);
		assert_int_equal(chmod(t->f.program, 0755), 0);
	}
	t->api = api_new(&t->f.config, &t->f.live, &(struct error){""});
	assert_non_null(t->api);
	for (int i = 0; i < 4; i++)
		path[i] = post_replay(t, "{\"capture\": 1}");
	r = ask_body(t, "POST", "/v1/replays", NULL, "{}");
	assert_int_equal(r.status, 429);
	assert_true(r.retry_after > 0);
	free(r.body);
	json = wait_replay(t, path[1], "running");
	json_free(json);
	json = get(t, path[2], NULL);
	assert_string_equal(text(json, "state"), "queued");
	json_free(json);
	assert_true(has_metric(t, "replays{state=\"running\"} 2"));
	assert_true(has_metric(t, "replays{state=\"queued\"} 2"));
	for (int i = 0; i < 400; i++) { /* what it says of its progress is seen */
		const char *digits;
		double share;

		json = get(t, path[0], NULL);
		digits = json_get_digits(json_get(json, "progress")); /* null before it has said any */
		share = digits ? strtod(digits, NULL) : 0;
		json_free(json);
		if (share > 0.2)
			break;
		assert_true(i < 399);
		nap();
	}
	r = ask_body(t, "DELETE", path[0], NULL, NULL);
	assert_int_equal(r.status, 204);
	free(r.body);
	json = wait_replay(t, path[2], "running");
	json_free(json);
	for (int i = 0; i < 4; i++)
		free(path[i]);
	unlink(t->f.program);
}

/* A new API that runs this in place of ioflush; NULL: what is not there. */
static void use_program(struct test *t, char program[1100], const char *script)
{
	FILE *f;

	api_free(t->api);
	snprintf(program, 1100, "%s/bad", t->f.dir);
	t->f.config.replay_program = program;
	unlink(program);
	if (script) {
		f = fopen(program, "w");
		assert_non_null(f);
		fprintf(f, "#!/bin/sh\n%s\n", script);
		fclose(f);
		assert_int_equal(chmod(program, 0755), 0);
	}
	t->api = api_new(&t->f.config, &t->f.live, &(struct error){""});
}

/* A program that fails, prints rubbish or too much, takes too long, or is not there. */
static void failing_program(struct test *t, const char *script, const char *why)
{
	char program[1100];
	struct json *json;
	char *path;

	use_program(t, program, script);
	path = post_replay(t, "{\"capture\": 1}");
	json = wait_replay(t, path, "failed");
	if (!strstr(text(json, "error"), why))
		fail_msg("'%s' is not in '%s'", why, text(json, "error"));
	json_free(json);
	free(path);
	unlink(program);
}

static void test_replay_fails(void **state)
{
	struct test *t = *state;

	failing_program(t, "echo 'progress 0.5 3' >&2; echo 'ioflush replay: it is broken' >&2; exit 1", "it is broken");
	failing_program(t, "head -c 1500 /dev/zero | tr '\\0' x >&2; echo 'the end' >&2; exit 1",
			"xxthe end (exit status 1)");
	failing_program(t, "echo nonsense", "not understood");
	failing_program(t, "kill -9 $$", "signal 9");
	failing_program(t, NULL, "cannot be run");
	failing_program(t, "head -c 6000000 /dev/zero; exit 0", "too large");
	t->f.config.replay_timeout = 100;
	failing_program(t, "exec sleep 1000", "too long");
}

/* What the program refuses of a parameter is the client's mistake, as if the API had seen it itself. */
static void test_program_refuses(void **state)
{
	struct test *t = *state;
	char program[1100];

	use_program(t, program, "echo 'ioflush: no such thing' >&2; exit 2");
	refused(t, 400, "/v1/domains", "capture=1", NULL);
	unlink(program);
}

static void test_paths(void **state)
{
	struct test *t = *state;
	struct api_response r;

	refused(t, 404, "/", NULL, NULL);
	refused(t, 404, "/v1", NULL, NULL);
	refused(t, 404, "/v1/status/", NULL, NULL);
	refused(t, 404, "/../../etc/passwd", NULL, NULL);
	refused(t, 404, "/v1/captures/../status", NULL, NULL);
	refused(t, 404, "/v1/replays//gaps", NULL, NULL);
	r = ask_body(t, "PUT", "/v1/status", NULL, NULL);
	assert_int_equal(r.status, 405);
	assert_string_equal(r.allow, "GET, HEAD");
	free(r.body);
	r = ask_body(t, "DELETE", "/v1/replays", NULL, NULL);
	assert_int_equal(r.status, 405);
	assert_string_equal(r.allow, "GET, HEAD, POST");
	free(r.body);
	r = ask_body(t, "HEAD", "/healthz", NULL, NULL);
	assert_int_equal(r.status, 200);
	free(r.body);
}

/* The text format: each family has HELP and TYPE once, before its samples; each sample is name, labels, number. */
static void test_metrics(void **state)
{
	static const char *const samples[] = {
		"healthy 1",
		"replays{state=\"running\"} 0",
		"replays{state=\"queued\"} 0",
		"api_requests_total{status=\"200\"} 1",
		"api_requests_total{status=\"404\"} 2",
		"ring_pages_total 10",
		"records_total 1000",
		"other_records_total 90",
		"recorded_events_total 900",
		"drains_total 5",
		"events_total{kind=\"map\"} 500",
		"events_total{kind=\"unmap\"} 400",
		"events_total{kind=\"lost\"} 0",
		"lost_records_total{cause=\"ring buffer\"} 7",
		"lost_records_total{cause=\"decoder\"} 1",
		"lost_records_total{cause=\"late\"} 2",
		"lost_records_total{cause=\"merge memory\"} 27",
		"lost_records_total{cause=\"probe\"} 28",
		"lost_records_total{cause=\"queue\"} 5",
		"lost_records_total{cause=\"database\"} 25",
		"lost_records_total{cause=\"invalid\"} 26",
		"lost_unknown_total 1",
		"unnamed_events_total{why=\"memory\"} 11",
		"unnamed_events_total{why=\"database\"} 12",
		"unnamed_events_total{why=\"doubt\"} 2",
		"queue_events 3",
		"queue_events_max 70",
		"rows_total 890",
		"batch_seconds_sum 0.004000000\nioflush_batch_seconds_count 4",
		"commit_seconds_sum 0.002000000\nioflush_commit_seconds_count 4",
		"commit_seconds_max 0.001500000",
		"log_syncs_total 21",
		"log_sync_failures_total 22",
		"batch_failures_total 23",
		"database_failing 0",
		"database_bytes 123456",
		"retention_deleted_events_total 24",
	};
	struct test *t = *state;
	struct api_response r;
	char family[128] = "", name[128], *save = NULL;
	double uptime;

	api_count(t->api, 200);
	api_count(t->api, 404);
	api_count(t->api, 404);
	t->f.writer.log_syncs = 21;
	t->f.writer.log_sync_failures = 22;
	t->f.writer.failures = 23;
	t->f.writer.retained_deleted = 24;
	t->f.writer.lost_database = 25;
	t->f.writer.lost_invalid = 26;
	t->f.ring.lost_merge = 27;
	t->f.ring.lost_probe = 28;
	nap();
	r = ask_body(t, "GET", "/metrics", NULL, NULL);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.content_type, "version=0.0.4"));
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		char line[160];

		snprintf(line, sizeof(line), "\nioflush_%s\n", samples[i]);
		if (!strstr(r.body, line))
			fail_msg("there is no line%s", line);
	}
	uptime = strtod(strstr(r.body, "\nioflush_uptime_seconds ") + strlen("\nioflush_uptime_seconds "), NULL);
	assert_true(uptime > 0.004 && uptime < 4);
	assert_int_equal(r.body[r.body_len - 1], '\n');
	for (char *line = strtok_r(r.body, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "# HELP ", 7)) {
			assert_int_equal(sscanf(line + 7, "%127s", family), 1);
			continue;
		}
		if (!strncmp(line, "# TYPE ", 7)) {
			assert_int_equal(sscanf(line + 7, "%127s", name), 1);
			assert_string_equal(name, family);
			continue;
		}
		assert_int_equal(strncmp(line, family, strlen(family)), 0);
		assert_true(strrchr(line, ' ') && strspn(strrchr(line, ' ') + 1, "0123456789.-+e"));
	}
	free(r.body);
}

/* Who has gone away is not called. */
static void test_cancel(void **state)
{
	struct test *t = *state;
	const struct api_request q = {.method = "GET", .path = "/v1/domains"};
	struct api_response r;

	need_ioflush(t);
	t->answered = false;
	assert_false(api_handle(t->api, &q, &r, on_late, t));
	api_cancel(t->api, t);
	for (int i = 0; i < 100; i++) {
		api_tick(t->api);
		nap();
	}
	assert_false(t->answered);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_status),		 T(test_health),       T(test_health_interval),
		T(test_captures),	 T(test_events),       T(test_events_refused),
		T(test_bounded),	 T(test_no_database),  T(test_many_losses),
		T(test_losses_retained), T(test_state),	       T(test_policies),
		T(test_replay),		 T(test_replay_range), T(test_replay_refused),
		T(test_replay_limit),	 T(test_replay_off),   T(test_replay_fails),
		T(test_program_refuses), T(test_paths),	       T(test_metrics),
		T(test_cancel),		 T(test_nothing_cut),  T(test_long_probe),
		T(test_cause_names),	 T(test_another_file), T(test_another_file_replayed),
		T(test_displaced),	 T(test_rates),	       T(test_damaged),
		T(test_long_texts),	 T(test_no_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
