package tokenize

// Lifetime is the bin, of the NextClasses, of how long the block at a position
// lived or, where it is open, has lived so far: it is freed later or never. The bin
// is -1 where there is no block of an event log.
func (s *Sequence) Lifetime(pos int) (bin int32, open bool) {
	if s.Blocks[pos] < 0 {
		return -1, false
	}
	for _, id := range s.Tokens[pos*Fields : (pos+1)*Fields] {
		if id >= starts[fLife] && id < starts[fLife+1] {
			return id - starts[fLife], s.Live[pos]
		}
	}
	return -1, false
}

// Lifetimes estimates for how long the blocks of a run's sites live.
type Lifetimes struct {
	run *Run
	end uint32 // of the run's own work, where its teardown begins
}

// NewLifetimes looks at a run of an event log.
func NewLifetimes(r *Run) *Lifetimes { return &Lifetimes{r, r.end} }

// Of is the distribution of the lifetimes of a site's blocks over the NextClasses,
// by Kaplan and Meier's estimate from the whole run. Blocks that only the teardown
// frees were in use until then.
func (l *Lifetimes) Of(site int) []float32 {
	var lives Lives
	for _, i := range l.run.BySite[site] {
		b := l.run.Blocks.At(i)
		lives.add(min(b.Died, l.run.Events)-b.Born, b.Died < l.end)
	}
	survival, _ := lives.survival()
	out := make([]float32, NextClasses)
	for bin := range lifeBins - 1 {
		out[bin] = float32(survival[bin] - survival[bin+1])
	}
	// The last bin begins at three billion events: whoever reaches it stays.
	out[NextClasses-1] = float32(survival[lifeBins-1])
	return out
}
