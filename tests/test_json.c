/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON documents: the printed bytes, what is read and refused, numbers of 64 bits, and lack of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>
#include <cmocka.h>

#include "base/json.h"
#include "tests/json.h"

/* Prints v, and holds it against want. */
static void prints(const struct json *v, int layout, const char *want)
{
	char *text = json_format(v, layout);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

static struct json *read_text(const char *text)
{
	struct error e = {""};
	struct json *v = json_read(text, strlen(text), &e);

	if (!v)
		fail_msg("%s: %s", text, e.text);
	return v;
}

static struct json *sample(void)
{
	struct json *all = json_new_object(), *list, *one;

	json_put_u64(all, "zero", 0);
	list = json_put_array(all, "list");
	json_put_u64(list, NULL, 1);
	json_put_text(list, NULL, "two");
	one = json_put_object(list, NULL);
	json_put_bool(one, "yes", true);
	json_put_bool(one, "no", false);
	json_put_object(list, NULL);
	json_put_array(list, NULL);
	json_put_null(all, "a");
	json_put_array(all, "none");
	return all;
}

static void test_layout(void **state)
{
	struct json *v = sample();

	(void)state;
	prints(v, JSON_TIGHT,
	       "{\"zero\":0,\"list\":[1,\"two\",{\"yes\":true,\"no\":false},{},[]],\"a\":null,\"none\":[]}");
	prints(v, JSON_LINE,
	       "{\"zero\": 0, \"list\": [1, \"two\", {\"yes\": true, \"no\": false}, {}, []], \"a\": null, \"none\": []}");
	prints(v, 1,
	       "{\n \"zero\": 0,\n \"list\": [\n  1,\n  \"two\",\n  {\n   \"yes\": true,\n   \"no\": false\n  },\n"
	       "  {},\n  []\n ],\n \"a\": null,\n \"none\": []\n}");
	prints(v, 2,
	       "{\n  \"zero\": 0,\n  \"list\": [\n    1,\n    \"two\",\n    {\n      \"yes\": true,\n"
	       "      \"no\": false\n    },\n    {},\n    []\n  ],\n  \"a\": null,\n  \"none\": []\n}");
	json_free(v);
	v = json_new_object();
	prints(v, 1, "{}");
	json_free(v);
}

static void test_strings(void **state)
{
	struct json *v = json_new_array();

	(void)state;
	json_put_text(v, NULL, "\x01\x1b\x1f\b\f\n\r\t\x7f \"\\/");
	json_put_text(v, NULL, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7");
	json_put_text(v, NULL, "\xc3\xa9 and \xff");
	json_put_text(v, NULL, "\xed\xa0\x80");
	json_put_text(v, NULL, "{\"[,:]\\u00ab");
	json_put_text(v, NULL, "");
	json_put_text(v, NULL, NULL);
	prints(v, JSON_LINE,
	       "[\"\\u0001\\u001B\\u001F\\b\\f\\n\\r\\t\x7f \\\"\\\\/\", \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7\", "
	       "\"?? and ?\", \"???\", \"{\\\"[,:]\\\\u00ab\", \"\", null]");
	json_free(v);
}

static void test_numbers(void **state)
{
	struct json *v = json_new_array();

	(void)state;
	json_put_u64(v, NULL, 9007199254740993);
	json_put_u64(v, NULL, INT64_MAX);
	json_put_u64(v, NULL, (uint64_t)INT64_MAX + 1);
	json_put_u64(v, NULL, 0xfffffffff0010000);
	json_put_u64(v, NULL, UINT64_MAX);
	json_put_i64(v, NULL, INT64_MIN);
	json_put_i64(v, NULL, -1);
	json_put_hex(v, NULL, 0);
	json_put_hex(v, NULL, 0xABC);
	prints(v, JSON_TIGHT,
	       "[9007199254740993,9223372036854775807,\"0x8000000000000000\",\"0xfffffffff0010000\","
	       "\"0xffffffffffffffff\",-9223372036854775808,-1,\"0x0\",\"0xabc\"]");
	json_free(v);
	v = json_new_array();
	json_put_real(v, NULL, 0);
	json_put_real(v, NULL, 0.1);
	json_put_real(v, NULL, 12345);
	json_put_real(v, NULL, 1e20);
	json_put_real(v, NULL, -1.5e-9);
	json_put_real(v, NULL, 1.0 / 0.0);
	prints(v, JSON_TIGHT, "[0.0,0.10000000000000001,12345.0,1e20,-1.5e-9,null]");
	json_free(v);
}

/* What is read prints as it was written. */
static void test_round_trips(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"\"text\"",
		"null",
		"true",
		"-0",
		"0",
		"9007199254740993",
		"18446744073709551616",
		"-12345678901234567890123",
		"[1.50,1E5,1e-400,0.1,-0.0]",
		"{\"b\":1,\"a\":[{},[],\"\"],\"B\":{\"b\":false}}",
		"\"\xc3\xa9 \xf0\x9f\x90\xa7 \\n \\\\ \\\" /\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json *v = read_text(texts[i]);

		prints(v, JSON_TIGHT, texts[i]);
		json_free(v);
	}
}

static void test_compact(void **state)
{
	const char *text = " {\n \"a\" : [ 1.50 ,\t-2 , \"x y\" ] ,\r\n \"b\" : { } }\n";
	struct error e = {""};
	char *tight = json_compact(text, strlen(text), &e);
	struct json *v = json_new_object();

	(void)state;
	assert_non_null(tight);
	assert_string_equal(tight, "{\"a\":[1.50,-2,\"x y\"],\"b\":{}}");
	json_put_compact(v, "result", tight);
	prints(v, JSON_TIGHT, "{\"result\":{\"a\":[1.50,-2,\"x y\"],\"b\":{}}}");
	json_free(v);
	free(tight);
	assert_null(json_compact("{\"a\":}", 6, &e));
	assert_string_equal(e.text, "a value is missing before '}' (line 1, column 6)");
}

static void test_reading(void **state)
{
	struct json *v =
		read_text("{\"n\": 9007199254740993, \"h\": \"0xfffffffffffffff0\", \"d\": \"12\", \"r\": 1.5,\n"
			  "\"m\": -1, \"big\": 18446744073709551616, \"max\": 18446744073709551615, \"z\": null,\n"
			  "\"t\": true, \"f\": false, \"l\": [1, [2], \"\\u00e9\\ud83d\\udc27\\/\"], \"N\": 1e2}");
	struct json *list = json_get(v, "l"), *taken;
	uint64_t n = 5;

	(void)state;
	assert_true(json_is_object(v) && json_is_array(list) && !json_is_array(v) && !json_is_object(list));
	assert_int_equal(json_get_u64(json_get(v, "n"), &n), 0);
	assert_true(n == 9007199254740993);
	assert_int_equal(json_get_u64(json_get(v, "h"), &n), 0);
	assert_true(n == 0xfffffffffffffff0);
	assert_int_equal(json_get_u64(json_get(v, "d"), &n), 0);
	assert_true(n == 12);
	assert_int_equal(json_get_u64(json_get(v, "max"), &n), 0);
	assert_true(n == UINT64_MAX);
	n = 5;
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(json_get_u64(json_get(v, &"r\0m\0N\0z\0t\0l\0?"[2 * i]), &n), -1);
	assert_int_equal(json_get_u64(json_get(v, "big"), &n), -1);
	assert_true(n == 5);
	assert_string_equal(json_get_digits(json_get(v, "r")), "1.5");
	assert_null(json_get_digits(json_get(v, "d")));
	assert_null(json_get_text(json_get(v, "n")));
	assert_true(json_is_number(json_get(v, "n")) && !json_is_string(json_get(v, "n")));
	assert_true(json_is_string(json_get(v, "d")) && !json_is_number(json_get(v, "d")));
	assert_true(json_is_null(json_get(v, "z")) && !json_is_null(json_get(v, "absent")));
	assert_true(json_is_true(json_get(v, "t")) && json_is_bool(json_get(v, "f")) && !json_is_true(json_get(v, "f")));
	assert_string_equal(json_get_text(json_at(list, 2)), "\xc3\xa9\xf0\x9f\x90\xa7/");
	assert_null(json_at(list, 3));
	assert_null(json_at(NULL, 0));
	assert_null(json_get(NULL, "x"));
	assert_int_equal(json_count(list), 3);
	assert_int_equal(json_count(v), 12);
	assert_string_equal(json_key(json_next(json_first(v))), "h");
	taken = json_take(v, "l");
	assert_ptr_equal(taken, list);
	assert_null(json_take(v, "l"));
	assert_int_equal(json_count(v), 11);
	json_free(v);
	prints(taken, JSON_TIGHT, "[1,[2],\"\xc3\xa9\xf0\x9f\x90\xa7/\"]");
	json_free(taken);
}

static void refuses(const char *text, size_t len, const char *want)
{
	struct error e = {""};
	struct json *v = json_read(text, len, &e);

	if (v || strcmp(e.text, want))
		fail_msg("%s: '%s', not '%s'", text, e.text, want);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
		{"", "a value is missing at the end (line 1, column 1)"},
		{" \n ", "a value is missing at the end (line 2, column 2)"},
		{"{nonsense", "a key in quotes is missing before 'n' (line 1, column 2)"},
		{"nul", "a value is missing before 'n' (line 1, column 1)"},
		{"\xef\xbb\xbf{}", "a value is missing before '?' (line 1, column 1)"},
		{"01", "a number begins with 0 (line 1, column 2)"},
		{"-", "a digit is missing at the end (line 1, column 2)"},
		{"+1", "a value is missing before '+' (line 1, column 1)"},
		{"[1.]", "a digit is missing before ']' (line 1, column 4)"},
		{"[.5]", "a value is missing before '.' (line 1, column 2)"},
		{"1e", "a digit is missing at the end (line 1, column 3)"},
		{"[1,\n 1e400]", "a number is too large (line 2, column 2)"},
		{"0x10", "more text behind the value (line 1, column 2)"},
		{"NaN", "a value is missing before 'N' (line 1, column 1)"},
		{"{} {}", "more text behind the value (line 1, column 4)"},
		{"[1 2]", "a ',' or ']' is missing before '2' (line 1, column 4)"},
		{"[1,]", "a value is missing before ']' (line 1, column 4)"},
		{"[1", "a ',' or ']' is missing at the end (line 1, column 3)"},
		{"{\"a\" 1}", "a ':' is missing before '1' (line 1, column 6)"},
		{"{\"a\":1,}", "a key in quotes is missing before '}' (line 1, column 8)"},
		{"{\"a\":1]", "a ',' or '}' is missing before ']' (line 1, column 7)"},
		{"{1:2}", "a key in quotes is missing before '1' (line 1, column 2)"},
		{"\"abc", "the end of a string is missing at the end (line 1, column 5)"},
		{"\"a\nb\"", "a control character in a string (line 1, column 3)"},
		{"\"\\x\"", "a \\ with nothing that it can stand for (line 1, column 2)"},
		{"\"\\u12g4\"", "a \\u without four hex digits (line 1, column 2)"},
		{"\"\\u12", "a \\u without four hex digits (line 1, column 2)"},
		{"\"ab\\u0000\"", "a NUL, \\u0000, which no text may have (line 1, column 4)"},
		{"\"\\ud83d\"", "half of a surrogate pair (line 1, column 2)"},
		{"\"\\ud83d\\u0041\"", "half of a surrogate pair (line 1, column 2)"},
		{"\"\\udc27\\ud83d\"", "half of a surrogate pair (line 1, column 2)"},
		{"[\"\xff\"]", "a byte that is no UTF-8 (line 1, column 3)"},
		{"\"\xc0\x80\"", "a byte that is no UTF-8 (line 1, column 2)"},
		{"{\"a\":1,\"b\":{\"c\":1,\"d\":2,\"c\":3}}", "the key \"c\" is there twice"},
		{"{\"a\":1,\"\\u0061\":2}", "the key \"a\" is there twice"},
	};
	char deep[2 * (JSON_DEPTH + 1)];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(bad[i].text, strlen(bad[i].text), bad[i].want);
	refuses("[1\0]", 4, "a ',' or ']' is missing before '?' (line 1, column 3)");
	refuses("\"a\0\"", 4, "a control character in a string (line 1, column 3)");
	refuses("\"\\\0\"", 4, "a \\ with nothing that it can stand for (line 1, column 2)");
	memset(deep, '[', JSON_DEPTH + 1);
	memset(deep + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
	refuses(deep, sizeof(deep), "nested too deeply (line 1, column 65)");
	json_free(json_read(deep + 1, sizeof(deep) - 2, NULL));
}

static size_t allocations; /* that still succeed */

static void *failing_malloc(size_t size)
{
	return allocations ? allocations--, malloc(size) : NULL;
}

/* With any allocation failing, a document is printed whole or not at all. */
static void test_no_memory(void **state)
{
	cJSON_Hooks hooks = {failing_malloc, free};
	struct json *whole;
	size_t failures = 0;
	char *text = NULL;

	(void)state;
	cJSON_InitHooks(&hooks);
	for (size_t n = 0; !text; n++) {
		struct json *v;

		allocations = n;
		v = sample();
		text = json_format(v, 1);
		failures += !text;
		json_free(v);
	}
	allocations = SIZE_MAX;
	whole = sample();
	prints(whole, 1, text);
	json_free(whole);
	free(text);
	assert_true(failures > 20);
	for (size_t n = 0; n < 8; n++) {
		struct error e = {""};
		struct json *v;

		allocations = n;
		v = json_read("{\"a\":[1,2]}", 11, &e);
		if (!v)
			assert_string_equal(e.text, "out of memory");
		json_free(v);
	}
	cJSON_InitHooks(NULL);
	assert_null(json_format(NULL, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),	 cmocka_unit_test(test_strings),     cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_compact),	 cmocka_unit_test(test_round_trips), cmocka_unit_test(test_reading),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
