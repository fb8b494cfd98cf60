package store

import (
	"strings"

	"leakformer/detect/dashboard"
)

// The file says what it is: application is in its header, and version counts the
// schemas that there were.
const (
	application = 0x6c6b666d // "lkfm"
	version     = 1
)

// schema makes an empty file a store. Times are milliseconds since 1970. What queries
// look at is in columns; the rest is JSON.
//
// Findings are narrow, so that those of a day fit into memory: their JSON is in texts,
// in short as lists show it, and whole where that is more. A call stack is kept once,
// whatever the number of findings and logs that have it; its words are in lower case,
// with the byte 0xff between them, which no text has.
const schema = `
CREATE TABLE meta (id TEXT NOT NULL, changes INTEGER NOT NULL) STRICT;
CREATE TABLE runs (n INTEGER PRIMARY KEY, log TEXT NOT NULL UNIQUE, words BLOB NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE stacks (n INTEGER PRIMARY KEY, sum BLOB NOT NULL UNIQUE, words BLOB NOT NULL) STRICT;
CREATE TABLE places (stack INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE findings (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, run INTEGER NOT NULL, stack INTEGER NOT NULL, program TEXT NOT NULL,
	level TEXT NOT NULL, leak INTEGER NOT NULL, probability REAL NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE INDEX findings_all ON findings (leak DESC, probability DESC, bytes DESC);
CREATE INDEX findings_run ON findings (run, leak DESC, probability DESC, bytes DESC);
CREATE INDEX findings_program ON findings (program, leak DESC, probability DESC, bytes DESC);
CREATE INDEX findings_stack ON findings (stack);
CREATE INDEX findings_level ON findings (level, leak DESC, probability DESC, bytes DESC);
CREATE TABLE texts (finding INTEGER PRIMARY KEY, short BLOB NOT NULL, whole BLOB NOT NULL) STRICT;
CREATE TABLE decisions (id TEXT PRIMARY KEY, decision TEXT NOT NULL, time INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE courses (n INTEGER PRIMARY KEY, log TEXT NOT NULL, id TEXT NOT NULL, UNIQUE (log, id)) STRICT;
CREATE TABLE snapshots (course INTEGER NOT NULL, time INTEGER NOT NULL, live INTEGER NOT NULL, leaked INTEGER NOT NULL,
	PRIMARY KEY (course, time)) STRICT, WITHOUT ROWID;
CREATE TABLE alerts (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, log TEXT NOT NULL, finding TEXT NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX alerts_time ON alerts (time);
CREATE INDEX alerts_log ON alerts (log, time);
INSERT INTO meta VALUES (lower(hex(randomblob(8))), 0);
`

// What is written.
const (
	countChange = `UPDATE meta SET changes = changes + 1`

	putRun = `INSERT INTO runs (log, words, time, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (log) DO UPDATE SET words = excluded.words, time = excluded.time, body = excluded.body RETURNING n`
	dropTexts    = `DELETE FROM texts WHERE finding IN (SELECT n FROM findings WHERE run = ?)`
	dropFindings = `DELETE FROM findings WHERE run = ?`
	theStack     = `SELECT n FROM stacks WHERE sum = ?`
	putStack     = `INSERT INTO stacks (sum, words) VALUES (?, ?) RETURNING n`
	putPlace     = `INSERT INTO places (stack, body) VALUES (?, ?)`
	putFinding   = `INSERT INTO findings (id, run, stack, program, level, leak, probability, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING n`
	putText      = `INSERT INTO texts (finding, short, whole) VALUES (?, ?, ?)`
	putDecision  = `INSERT INTO decisions (id, decision, time) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET decision = excluded.decision, time = excluded.time`
	isFinding = `SELECT count(*) FROM findings WHERE id = ?`

	theCourse   = `SELECT n FROM courses WHERE log = ? AND id = ?`
	putCourse   = `INSERT INTO courses (log, id) VALUES (?, ?) RETURNING n`
	putSnapshot = `INSERT INTO snapshots (course, time, live, leaked) VALUES (?, ?, ?, ?)
		ON CONFLICT (course, time) DO UPDATE SET live = excluded.live, leaked = excluded.leaked`
	putAlert = `INSERT INTO alerts (id, log, finding, time, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
)

// expiry removes what is from before a time, and then what nothing refers to any more.
// A decision outlives its finding by the same time.
var expiry = []string{
	`DELETE FROM texts WHERE finding IN (SELECT n FROM findings WHERE run IN (SELECT n FROM runs WHERE time < ?1))`,
	`DELETE FROM findings WHERE run IN (SELECT n FROM runs WHERE time < ?1)`,
	`DELETE FROM runs WHERE time < ?1`,
	`DELETE FROM snapshots WHERE course IN (SELECT n FROM courses) AND time < ?1`,
	`DELETE FROM alerts WHERE time < ?1`,
	`DELETE FROM decisions WHERE time < ?1 AND id NOT IN (SELECT id FROM findings)`,
}

var sweep = []string{
	`DELETE FROM stacks WHERE n NOT IN (SELECT stack FROM findings)`,
	`DELETE FROM places WHERE stack NOT IN (SELECT stack FROM findings)`,
	`DELETE FROM courses WHERE NOT EXISTS (SELECT 1 FROM snapshots WHERE course = n)`,
}

// What is asked.
const (
	allRuns    = `SELECT body FROM runs ORDER BY n`
	theChanges = `SELECT changes FROM meta`
	theID      = `SELECT id FROM meta`

	oneFinding = `SELECT short, coalesce(decision, ''), sum, body, whole FROM findings AS f
		JOIN texts ON finding = f.n JOIN stacks ON stacks.n = f.stack JOIN places AS p ON p.stack = f.stack LEFT JOIN decisions AS d ON d.id = f.id WHERE f.id = ?`

	someSnapshots = `SELECT time, live, leaked FROM snapshots WHERE course = (SELECT n FROM courses WHERE log = ? AND id = ?) AND time >= ? AND time < ? ORDER BY time`
)

// A text that is rare, in one of sixteen call stacks or fewer, is looked for in the
// indexes of the findings, and what is found is sorted; for one that is not it is quicker
// to go through the findings in their order, until there are enough. SQLite cannot know
// which. These find the call stacks and the runs that have a text, and one too many where
// it is not rare.
const (
	stacksWith = `SELECT n FROM stacks WHERE instr(words, ?) LIMIT (SELECT count(*) / 16 + 1 FROM stacks)`
	runsWith   = `SELECT n FROM runs WHERE instr(words, ?) LIMIT (SELECT count(*) / 16 + 1 FROM runs)`
	rareStacks = `SELECT count(*) / 16 FROM stacks`
	rareRuns   = `SELECT count(*) / 16 FROM runs`
)

// having says what has a text, if it is rare.
type having struct {
	rare         bool
	stacks, runs []string // their numbers
}

// ranking is the order of lists; among equals what was put first is first.
const (
	ranking = ` ORDER BY leak DESC, probability DESC, bytes DESC, n`
	ordered = ` ORDER BY leak DESC, probability DESC, bytes DESC, f.n`
)

// listed is the statement that lists the findings that a query means.
func listed(q dashboard.Query, text having) (string, []any) {
	where, args := meant(q, text)
	order, limit := ranking, -1
	if text.rare {
		order = strings.Replace(ranking, "leak", "+leak", 1) // not by an index
	}
	if q.Limit > 0 {
		limit = q.Limit
	}
	return `SELECT short, coalesce(decision, ''), sum, body FROM (SELECT * FROM findings WHERE ` + where + order + ` LIMIT ?) AS f
		JOIN texts ON finding = f.n JOIN stacks ON stacks.n = f.stack JOIN places AS p ON p.stack = f.stack LEFT JOIN decisions AS d ON d.id = f.id` + ordered, append(args, limit)
}

// counted is the statement that counts them.
func counted(q dashboard.Query, text having) (string, []any) {
	where, args := meant(q, text)
	return `SELECT count(*) FROM findings WHERE ` + where, args
}

// meant is the condition that is true of the findings that a query means.
func meant(q dashboard.Query, text having) (string, []any) {
	where, args := []string{"true"}, []any{}
	and := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if q.Log != "" {
		and("run = (SELECT n FROM runs WHERE log = ?)", q.Log)
	}
	if q.Program != "" {
		and("program = ?", q.Program)
	}
	if q.Level != "" {
		and("level = ?", q.Level)
	}
	if q.Decision != dashboard.Undecided {
		and("id IN (SELECT id FROM decisions WHERE decision = ?)", string(q.Decision))
	}
	switch {
	case text.rare:
		and("(stack IN (" + strings.Join(text.stacks, ",") + ") OR run IN (" + strings.Join(text.runs, ",") + "))")
	case q.Text != "":
		and("(instr((SELECT words FROM stacks WHERE stacks.n = stack), ?) OR instr((SELECT words FROM runs WHERE runs.n = run), ?))", needle(q), needle(q))
	}
	return strings.Join(where, " AND "), args
}

// needle is a query's text as words have it.
func needle(q dashboard.Query) []byte { return []byte(strings.ToLower(q.Text)) }

// told is the statement for the alerts in a window, the latest first.
func told(w dashboard.Window) (string, []any) {
	from, to := bounds(w)
	where, args := "time >= ? AND time < ?", []any{from, to}
	if w.Log != "" {
		where, args = where+" AND log = ?", append(args, w.Log)
	}
	if w.ID != "" {
		where, args = where+" AND finding = ?", append(args, w.ID)
	}
	limit := -1
	if w.Limit > 0 {
		limit = w.Limit
	}
	return `SELECT body FROM alerts WHERE ` + where + ` ORDER BY time DESC, n DESC LIMIT ?`, append(args, limit)
}
