-- The database of ioflush: captures and their events. Units: t in nanoseconds of the capture's trace clock; addresses
-- and sizes in bytes; indexes and counts in 4 KiB pages. 64-bit values without sign are stored as the same bits.
--
-- Views, one for each kind of event and named as the event, are made from the event table when a database is opened
-- for writing, so that they always show all kinds: SELECT * FROM map WHERE t BETWEEN 1 AND 2.
--
-- No index on event but for the few rows that say what was lost: rows are read in the order of id, which is the order
-- of time within a capture, and an index would take a quarter of the size of the rows again.

CREATE TABLE migration (
	version INTEGER PRIMARY KEY,
	name TEXT NOT NULL
);

CREATE TABLE capture (
	id INTEGER PRIMARY KEY,
	source TEXT NOT NULL,        -- where it came from: a path, or "-"
	format TEXT NOT NULL,        -- trace.dat, ftrace-text, jsonl, database, generated, live
	host TEXT NOT NULL,
	kernel TEXT NOT NULL,
	clock TEXT NOT NULL,
	page_size INTEGER NOT NULL,
	probes TEXT NOT NULL,        -- one a line
	first_t INTEGER,             -- of its first and last event; NULL: it has none
	last_t INTEGER,
	first_event INTEGER,         -- its events lie between these ids; NULL: it has none
	last_event INTEGER,
	events INTEGER NOT NULL,
	sum INTEGER NOT NULL,        -- check sum of this row and its events, see trace/store.c
	state TEXT NOT NULL,         -- complete, partial, recording, or cut-off: the recorder died or failed
	note TEXT NOT NULL,          -- why it is not complete
	failed_maps INTEGER NOT NULL DEFAULT 0,     -- records that no event was made of: map calls that failed,
	failed_accesses INTEGER NOT NULL DEFAULT 0, -- access_add calls that failed,
	empty_unmaps INTEGER NOT NULL DEFAULT 0,    -- unmap calls that unmapped nothing,
	other_records INTEGER NOT NULL DEFAULT 0    -- and records of other events
);

-- Which process records, or recorded, a capture of a live host; that one still does, the lock on this file says.
CREATE TABLE recorder (
	capture INTEGER PRIMARY KEY REFERENCES capture (id),
	pid INTEGER NOT NULL,
	started INTEGER NOT NULL,    -- when the process did, in clock ticks since boot
	boot TEXT NOT NULL,          -- id of the boot that the trace clock counts from
	wall INTEGER NOT NULL        -- nanoseconds since 1970 when the trace clock was 0
);

CREATE TABLE string (
	id INTEGER PRIMARY KEY,
	text TEXT NOT NULL UNIQUE
);

-- Who did it: a thread under one of its names.
CREATE TABLE task (
	id INTEGER PRIMARY KEY,
	tid INTEGER,                 -- NULL: unknown
	comm INTEGER REFERENCES string (id)
);

CREATE TABLE event_kind (
	kind INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	doc TEXT NOT NULL
);

-- f0 to f10: the fields of the kind in the order of its view; NULL: unknown, or no such field.
CREATE TABLE event (
	id INTEGER PRIMARY KEY,
	capture INTEGER NOT NULL REFERENCES capture (id),
	t INTEGER NOT NULL,
	cpu INTEGER,                 -- NULL: unknown
	task INTEGER REFERENCES task (id),
	kind INTEGER NOT NULL REFERENCES event_kind (kind),
	f0 INTEGER,
	f1 INTEGER,
	f2 INTEGER,
	f3 INTEGER,
	f4 INTEGER,
	f5 INTEGER,
	f6 INTEGER,
	f7 INTEGER,
	f8 INTEGER,
	f9 INTEGER,
	f10 INTEGER
);

-- 19: lost. What a capture lost is asked often, and its rows may lie anywhere among millions.
CREATE INDEX event_lost ON event (capture) WHERE kind = 19;
