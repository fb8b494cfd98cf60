package tokenize

import "slices"

// Part is what a position of a sequence tells of.
type Part uint8

// The parts of a sequence, in their order.
const (
	// Totals are the counts of the site as a whole: always position 0, alone.
	Totals Part = iota
	// CleanRuns is the comparison of the site with what it did in clean runs.
	CleanRuns
	// Frame is one frame of the call stack.
	Frame
	// Age is how many blocks reached one age.
	Age
	// LiveBlock and FreedBlock are single blocks of an event log, Entry is one of a
	// report, and Look is one snapshot of a series.
	LiveBlock
	FreedBlock
	Entry
	Look
)

// Part is what the position tells of.
func (s *Sequence) Part(pos int) Part {
	switch k := int(s.Tokens[pos*Fields] - starts[fKind]); {
	case k == int(kindSite):
		return Totals
	case k == int(kindReference):
		return CleanRuns
	case k == int(kindFrame):
		return Frame
	case k == int(kindAge):
		return Age
	case k == int(kindLive):
		return LiveBlock
	case k == int(kindFreed):
		return FreedBlock
	case k <= int(kindUnreferenced):
		return Entry
	}
	return Look
}

// AgeAt is the age, in events, of the nth position that tells of an [Age].
func AgeAt(nth int) uint32 { return age(nth) }

// Without is the sequence as it were without what these positions tell. They are
// left out, but for position 0, which keeps what kind of log it is. Spread does not
// work on it.
func (s *Sequence) Without(positions ...int) *Sequence {
	out := &Sequence{}
	for pos := range s.Blocks {
		gone := slices.Contains(positions, pos)
		if gone && pos > 0 {
			continue
		}
		ids := s.Tokens[pos*Fields : (pos+1)*Fields]
		if gone {
			ids = make([]int32, Fields)
			copy(ids, s.Tokens[:2])
		}
		out.Tokens = append(out.Tokens, ids...)
		out.Times, out.Places = append(out.Times, s.Times[pos]), append(out.Places, s.Places[pos])
		out.Blocks, out.Live = append(out.Blocks, s.Blocks[pos]), append(out.Live, s.Live[pos])
	}
	return out
}
