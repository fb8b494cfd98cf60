// Layout of the control file that the collector and the preload library share.
//
// The collector writes the file, the traced process maps it (MAP_SHARED) and
// fills in the results, so nothing is lost when the process ends by _exit or a
// signal. Every field is a 64-bit word in the byte order of the machine:
//
//	header[FORGET_HEADER]          see enum forget_word
//	paths[PATHS] of struct path    open addressing by hash, linear probing
//	drops[DROPS] of struct drop    in the order in which they happened
//
// Keep in step with control.go and program.go.
#ifndef LEAKFORMER_FORGET_H
#define LEAKFORMER_FORGET_H

#include <stdint.h>

#define FORGET_MAGIC 0x3130544547524f46ULL // "FORGET01"
#define FORGET_HEADER 16
#define FORGET_DEPTH 8
#define FORGET_MARKERS 65536 // marker sizes: MARKER .. MARKER+FORGET_MARKERS-1

enum forget_word {
	W_MAGIC,
	W_MODE,        // MODE_COUNT or MODE_DROP
	W_DEPTH,       // return addresses that identify a path, 1..FORGET_DEPTH
	W_PATHS,       // slots of the path table, a power of two
	W_DROPS,       // slots of the drop table
	W_MARKER,      // smallest size of a marker allocation, bytes; 0: no markers, memcheck describes the blocks
	W_SEED,        // of the draws for shares below one
	W_OWNER,       // out: pid of the process that took the file
	W_TOTAL,       // out: frees seen
	W_USED,        // out: path slots in use
	W_UNSEEN,      // out: frees not counted, the path table being full
	W_DROPPED,     // out: drops made; drops[i] for i below it are valid
	W_REFUSED,     // out: drops not made, the drop table being full
	W_PHASE,       // enum forget_phase; who sets it: the collector, or the program by unlink
};

enum forget_mode { MODE_COUNT = 1, MODE_DROP = 2 };

// Kinds of a drop record. KIND_PHASE is no drop: a phase begins here.
enum forget_kind { KIND_FORGOTTEN, KIND_LOST, KIND_GROWTH, KIND_PHASE };

// Phases of a run whose container grows. What the program frees while it empties
// the container is what was in it: nobody has to know how it is built.
enum forget_phase {
	PHASE_WORK,   // the run proper
	PHASE_CUT,    // the log ends here; the program throws away what is no part of the growth
	PHASE_EMPTY,  // it empties the container
	PHASE_DONE,
};

// A program sets phase N by unlink(FORGET_PHASE_FILE "N"); no such file is touched.
#define FORGET_PHASE_FILE "leakformer-phase-"

// Addresses in drop records are inverted: memcheck would take them for pointers,
// and what was forgotten for reachable.
#define FORGET_HIDE(block) (~(uint64_t)(uintptr_t)(block))

struct path {
	uint64_t hash;   // 0: slot not in use
	uint64_t frees;  // out
	uint64_t share;  // of the frees to drop, in 2^-32; 0: none
	uint64_t from;   // first free of this path (1-based) that may be dropped
	uint64_t until;  // last one; 0: no limit
	uint64_t after;  // frees of the whole process that must have passed
	uint64_t dropped; // out
	uint64_t first;   // out: frees of the whole process up to the path's first
	uint64_t frames[FORGET_DEPTH]; // return addresses, innermost first
};

struct drop {
	uint64_t address; // FORGET_HIDE of it
	uint64_t usable;  // malloc_usable_size: at least the size asked for
	uint64_t path;    // slot, for KIND_FORGOTTEN; the phase, for KIND_PHASE
	uint64_t kind;
};

#endif
