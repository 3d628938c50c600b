-- The trace clock stands still while the machine sleeps: how long it has slept, for the age of events. A recorder adds a
-- row when its capture begins, and after each sleep.
CREATE TABLE suspend (
	capture INTEGER NOT NULL REFERENCES capture (id),
	t INTEGER NOT NULL,          -- from here on
	slept INTEGER NOT NULL,      -- nanoseconds, since boot
	PRIMARY KEY (capture, t)
) WITHOUT ROWID;
