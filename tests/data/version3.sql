PRAGMA application_id = 1229932108; PRAGMA user_version = 3;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE migration (
	version INTEGER PRIMARY KEY,
	name TEXT NOT NULL
);
INSERT INTO migration VALUES(1,'0001_events');
INSERT INTO migration VALUES(2,'0002_suspend');
INSERT INTO migration VALUES(3,'0003_task_index');
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
INSERT INTO capture VALUES(1,'tests/data/cases/scattered.jsonl','jsonl','generated','','mono',4096,'',1000003657,1000248143,1,81,81,-1352160065620806062,'complete','',0,0,0,0);
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
CREATE TABLE task (
	id INTEGER PRIMARY KEY,
	tid INTEGER,                 -- NULL: unknown
	comm INTEGER REFERENCES string (id)
);
INSERT INTO task VALUES(1,100,NULL);
CREATE TABLE event_kind (
	kind INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	doc TEXT NOT NULL
);
INSERT INTO event_kind VALUES(1,'domain_add','a domain is joining the iopt; its maps follow');
INSERT INTO event_kind VALUES(2,'domain_add_end','joined; rc != 0: it did not, and its maps were undone');
INSERT INTO event_kind VALUES(3,'domain_remove','a domain is leaving the iopt; its unmaps follow');
INSERT INTO event_kind VALUES(4,'domain_remove_end','the domain has left');
INSERT INTO event_kind VALUES(5,'area_fill','a new area is being mapped into all the domains of its iopt');
INSERT INTO event_kind VALUES(6,'area_fill_end','done; rc != 0: undone, and the area is gone');
INSERT INTO event_kind VALUES(7,'area_unfill','an area is being destroyed');
INSERT INTO event_kind VALUES(8,'area_unfill_end','the area is gone');
INSERT INTO event_kind VALUES(9,'area_add_domain','inside domain_add: this area is being mapped into the joining domain');
INSERT INTO event_kind VALUES(10,'area_add_domain_end','the area is mapped into the joining domain; rc != 0: it is not');
INSERT INTO event_kind VALUES(11,'map','a run of pages, physically contiguous, entered the domain');
INSERT INTO event_kind VALUES(12,'unmap','a range left the domain; size: bytes really unmapped');
INSERT INTO event_kind VALUES(13,'cut','split areas at these iovas, in order; each is the last byte of the left half');
INSERT INTO event_kind VALUES(14,'access_add','an in-kernel access took indexes first to last of the pages');
INSERT INTO event_kind VALUES(15,'access_remove','an in-kernel access released indexes first to last of the pages');
INSERT INTO event_kind VALUES(16,'unpin','the kernel unpinned these pages; for verification only');
INSERT INTO event_kind VALUES(17,'attach','a device is being attached; informative');
INSERT INTO event_kind VALUES(18,'detach','a device is being detached; informative');
INSERT INTO event_kind VALUES(19,'lost','records were lost here on the event''s cpu; since: t of the last record before the loss');
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
INSERT INTO event VALUES(1,1,1000003657,0,1,1,-67272519433846720,-67272519433846592,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(2,1,1000008016,0,1,2,-67272519433846720,-67272519433846592,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(3,1,1000009771,0,1,1,-67272519433846720,-67272519433846528,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(4,1,1000012456,0,1,2,-67272519433846720,-67272519433846528,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(5,1,1000014983,0,1,5,-67272519433846464,-67272519433846656,-67272519433846720,1048576,1245183,0,47,0,7,48,139637976727552);
INSERT INTO event VALUES(6,1,1000019273,0,1,11,-67272519433846592,1048576,4295168000,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(7,1,1000023612,0,1,11,-67272519433846528,1048576,4295168000,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(8,1,1000027034,0,1,11,-67272519433846592,1052672,4295204864,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(9,1,1000027516,0,1,11,-67272519433846528,1052672,4295204864,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(10,1,1000031650,0,1,11,-67272519433846592,1056768,4295327744,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(11,1,1000033838,0,1,11,-67272519433846528,1056768,4295327744,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(12,1,1000037349,0,1,11,-67272519433846592,1060864,4295434240,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(13,1,1000040943,0,1,11,-67272519433846528,1060864,4295434240,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(14,1,1000042560,0,1,11,-67272519433846592,1064960,4295467008,12288,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(15,1,1000045767,0,1,11,-67272519433846528,1064960,4295467008,12288,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(16,1,1000050462,0,1,11,-67272519433846592,1077248,4295581696,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(17,1,1000053731,0,1,11,-67272519433846528,1077248,4295581696,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(18,1,1000054639,0,1,11,-67272519433846592,1081344,4295786496,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(19,1,1000058434,0,1,11,-67272519433846528,1081344,4295786496,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(20,1,1000062799,0,1,11,-67272519433846592,1085440,4295974912,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(21,1,1000063883,0,1,11,-67272519433846528,1085440,4295974912,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(22,1,1000065424,0,1,11,-67272519433846592,1093632,4296175616,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(23,1,1000069891,0,1,11,-67272519433846528,1093632,4296175616,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(24,1,1000073312,0,1,11,-67272519433846592,1097728,4296335360,12288,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(25,1,1000076547,0,1,11,-67272519433846528,1097728,4296335360,12288,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(26,1,1000080758,0,1,11,-67272519433846592,1110016,4296433664,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(27,1,1000081200,0,1,11,-67272519433846528,1110016,4296433664,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(28,1,1000085244,0,1,11,-67272519433846592,1130496,4296462336,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(29,1,1000085800,0,1,11,-67272519433846528,1130496,4296462336,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(30,1,1000088527,0,1,11,-67272519433846592,1134592,4296470528,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(31,1,1000093463,0,1,11,-67272519433846528,1134592,4296470528,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(32,1,1000096887,0,1,11,-67272519433846592,1142784,4296581120,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(33,1,1000098482,0,1,11,-67272519433846528,1142784,4296581120,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(34,1,1000100063,0,1,11,-67272519433846592,1163264,4296716288,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(35,1,1000104377,0,1,11,-67272519433846528,1163264,4296716288,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(36,1,1000106436,0,1,11,-67272519433846592,1171456,4296863744,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(37,1,1000106736,0,1,11,-67272519433846528,1171456,4296863744,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(38,1,1000108570,0,1,11,-67272519433846592,1179648,4296990720,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(39,1,1000113190,0,1,11,-67272519433846528,1179648,4296990720,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(40,1,1000117881,0,1,11,-67272519433846592,1183744,4297142272,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(41,1,1000119982,0,1,11,-67272519433846528,1183744,4297142272,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(42,1,1000123495,0,1,11,-67272519433846592,1204224,4297224192,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(43,1,1000127903,0,1,11,-67272519433846528,1204224,4297224192,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(44,1,1000130919,0,1,11,-67272519433846592,1208320,4297428992,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(45,1,1000135852,0,1,11,-67272519433846528,1208320,4297428992,8192,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(46,1,1000138946,0,1,11,-67272519433846592,1216512,4297515008,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(47,1,1000142907,0,1,11,-67272519433846528,1216512,4297515008,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(48,1,1000145312,0,1,11,-67272519433846592,1220608,4297629696,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(49,1,1000150001,0,1,11,-67272519433846528,1220608,4297629696,20480,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(50,1,1000150247,0,1,11,-67272519433846592,1241088,4297797632,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(51,1,1000153590,0,1,11,-67272519433846528,1241088,4297797632,4096,7,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(52,1,1000157988,0,1,6,-67272519433846464,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(53,1,1000159246,0,1,3,-67272519433846720,-67272519433846592,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(54,1,1000163695,0,1,12,-67272519433846592,1048576,196608,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(55,1,1000168493,0,1,4,-67272519433846720,-67272519433846592,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(56,1,1000170376,0,1,7,-67272519433846464,-67272519433846656,-67272519433846720,1048576,1245183,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(57,1,1000174066,0,1,12,-67272519433846528,1048576,196608,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(58,1,1000174725,0,1,16,1048625,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(59,1,1000178866,0,1,16,1048634,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(60,1,1000182053,0,1,16,1048664,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(61,1,1000186922,0,1,16,1048690,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(62,1,1000191663,0,1,16,1048698,3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(63,1,1000193500,0,1,16,1048726,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(64,1,1000197834,0,1,16,1048776,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(65,1,1000201420,0,1,16,1048822,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(66,1,1000205592,0,1,16,1048871,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(67,1,1000208714,0,1,16,1048910,3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(68,1,1000212308,0,1,16,1048934,5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(69,1,1000215343,0,1,16,1048941,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(70,1,1000215555,0,1,16,1048943,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(71,1,1000220166,0,1,16,1048970,5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(72,1,1000224790,0,1,16,1049003,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(73,1,1000227702,0,1,16,1049039,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(74,1,1000231655,0,1,16,1049070,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(75,1,1000232084,0,1,16,1049107,5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(76,1,1000234164,0,1,16,1049127,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(77,1,1000235815,0,1,16,1049177,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(78,1,1000240526,0,1,16,1049198,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(79,1,1000245513,0,1,16,1049226,5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(80,1,1000247193,0,1,16,1049267,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO event VALUES(81,1,1000248143,0,1,8,-67272519433846464,-67272519433846656,-67272519433846720,1048576,1245183,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE suspend (
	capture INTEGER NOT NULL REFERENCES capture (id),
	t INTEGER NOT NULL,          -- from here on
	slept INTEGER NOT NULL,      -- nanoseconds, since boot
	PRIMARY KEY (capture, t)
) WITHOUT ROWID;
CREATE INDEX event_lost ON event (capture) WHERE kind = 19;
CREATE INDEX task_thread ON task (tid, comm);
CREATE VIEW "domain_add" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "iopt", printf('0x%x', e.f1) AS "domain", e.f2 AS "coherent" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 1;
CREATE VIEW "domain_add_end" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "iopt", printf('0x%x', e.f1) AS "domain", e.f2 AS "rc" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 2;
CREATE VIEW "domain_remove" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "iopt", printf('0x%x', e.f1) AS "domain" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 3;
CREATE VIEW "domain_remove_end" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "iopt", printf('0x%x', e.f1) AS "domain" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 4;
CREATE VIEW "area_fill" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", printf('0x%x', e.f1) AS "pages", printf('0x%x', e.f2) AS "iopt", printf('0x%x', e.f3) AS "iova", printf('0x%x', e.f4) AS "last", e.f5 AS "first", e.f6 AS "last_index", e.f7 AS "page_offset", e.f8 AS "prot", e.f9 AS "npages", iif(e.f10 IS NULL, NULL, printf('0x%x', e.f10)) AS "uptr" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 5;
CREATE VIEW "area_fill_end" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", e.f1 AS "rc" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 6;
CREATE VIEW "area_unfill" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", printf('0x%x', e.f1) AS "pages", printf('0x%x', e.f2) AS "iopt", printf('0x%x', e.f3) AS "iova", printf('0x%x', e.f4) AS "last" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 7;
CREATE VIEW "area_unfill_end" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", printf('0x%x', e.f1) AS "pages", printf('0x%x', e.f2) AS "iopt", printf('0x%x', e.f3) AS "iova", printf('0x%x', e.f4) AS "last" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 8;
CREATE VIEW "area_add_domain" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", printf('0x%x', e.f1) AS "domain", printf('0x%x', e.f2) AS "pages", printf('0x%x', e.f3) AS "iopt", printf('0x%x', e.f4) AS "iova", printf('0x%x', e.f5) AS "last" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 9;
CREATE VIEW "area_add_domain_end" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", printf('0x%x', e.f1) AS "domain", e.f2 AS "rc" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 10;
CREATE VIEW "map" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "domain", printf('0x%x', e.f1) AS "iova", printf('0x%x', e.f2) AS "paddr", printf('0x%x', e.f3) AS "size", e.f4 AS "prot" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 11;
CREATE VIEW "unmap" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "domain", printf('0x%x', e.f1) AS "iova", printf('0x%x', e.f2) AS "size" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 12;
CREATE VIEW "cut" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "iopt", e.f1 AS "num_iovas", printf('0x%x', e.f2) AS "iova0", iif(e.f3 IS NULL, NULL, printf('0x%x', e.f3)) AS "iova1" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 13;
CREATE VIEW "access_add" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", printf('0x%x', e.f1) AS "pages", printf('0x%x', e.f2) AS "iopt", printf('0x%x', e.f3) AS "iova", e.f4 AS "first", e.f5 AS "last" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 14;
CREATE VIEW "access_remove" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "area", printf('0x%x', e.f1) AS "pages", printf('0x%x', e.f2) AS "iopt", printf('0x%x', e.f3) AS "iova", e.f4 AS "first", e.f5 AS "last" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 15;
CREATE VIEW "unpin" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "pfn", e.f1 AS "npages" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 16;
CREATE VIEW "attach" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, printf('0x%x', e.f0) AS "hwpt", iif(e.f1 IS NULL, NULL, printf('0x%x', e.f1)) AS "domain", (SELECT text FROM string WHERE id = e.f2) AS "device" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 17;
CREATE VIEW "detach" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, iif(e.f0 IS NULL, NULL, printf('0x%x', e.f0)) AS "hwpt", iif(e.f1 IS NULL, NULL, printf('0x%x', e.f1)) AS "domain", (SELECT text FROM string WHERE id = e.f2) AS "device" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 18;
CREATE VIEW "lost" AS SELECT e.id AS id, e.capture AS capture, e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm, e.f0 AS "count", (SELECT text FROM string WHERE id = e.f1) AS "cause", e.f2 AS "since" FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = 19;
CREATE VIEW loss AS SELECT capture, cpu, since, t, count, cause FROM lost;
COMMIT;
