package ingest

import "math"

// snapshot gathers what was live at one moment, one entry for each call stack of a
// thread: profilers list a stack several times where blocks differ in size, and a
// site is followed from snapshot to snapshot by its stack.
type snapshot struct {
	entries []Event
	index   map[snapshotKey]int
}

// snapshotKey is what one entry stands for.
type snapshotKey struct {
	stack    StackID
	pid, tid int32
}

// maxEntries bounds the entries of a snapshot, some hundred bytes each. What is more
// goes into one entry without a call stack.
const maxEntries = 4 << 20

// add books e.Count blocks of e.Size bytes in all; neither is above maxBlock.
func (s *snapshot) add(e Event) {
	if len(s.entries) >= maxEntries {
		e.Stack, e.PID, e.TID = 0, 0, 0
	}
	key := snapshotKey{e.Stack, e.PID, e.TID}
	if i, ok := s.index[key]; ok {
		s.entries[i].Size = min(s.entries[i].Size+e.Size, maxBlock)
		s.entries[i].Count = min(s.entries[i].Count+e.Count, maxBlock)
		return
	}
	if s.index == nil {
		s.index = map[snapshotKey]int{}
	}
	s.index[key] = len(s.entries)
	s.entries = append(s.entries, e)
}

// emit hands the entries on as a scan and empties the snapshot.
func (s *snapshot) emit(d *decoder, scan int32) bool {
	if d.report.LastEmpty = false; len(s.entries) == 0 && d.report.Records > 0 {
		d.emptyEnd()
	}
	for _, e := range s.entries {
		e.Scan = scan
		if !d.outstanding(&e) {
			return false
		}
	}
	s.entries = s.entries[:0]
	clear(s.index)
	return true
}

// unsample estimates how many blocks there are where count blocks of size bytes in
// all were seen by a sampler that lets each byte pass with equal chance, on average
// one of rate bytes: a block of n bytes is seen with the chance 1-exp(-n/rate).
func unsample(count, size, rate int64) (int64, int64) {
	if rate <= 1 || count <= 0 || size <= 0 {
		return count, size
	}
	scale := 1 / -math.Expm1(-float64(size)/float64(count)/float64(rate))
	return int64(min(float64(count)*scale, maxBlock)), int64(min(float64(size)*scale, maxBlock))
}
