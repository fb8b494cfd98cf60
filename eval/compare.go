package eval

import (
	"context"
	"errors"
	"iter"

	"leakformer/detect"
	"leakformer/tokenize"
)

// Sample is a run looked at at one moment, with the clean runs it is compared
// with, and the truth about it.
type Sample struct {
	// Program and Log tell runs apart; Setting says what was known of the
	// program, for example "new program".
	Program, Log, Setting string
	// Cut is the share of the run's events that has happened, 0 to 1.
	Cut   float64
	Scene *tokenize.Scene
	Truth *Truth
	// Between says that the sample only tells when leaks are first flagged, and
	// has no part in tables.
	Between bool
}

// Entrant is a scorer in the comparison.
type Entrant struct {
	Name   string
	Scorer detect.Scorer
	// Threshold from which on a site is flagged, chosen before the samples were seen.
	Threshold float64
	// Thresholds, if it is not nil, has in its place one for each scene.
	Thresholds func(*tokenize.Scene) float64
	// Probabilities says that the scores are meant as such, so that their
	// calibration is measured.
	Probabilities bool
}

func (e *Entrant) threshold(s *tokenize.Scene) float64 {
	if e.Thresholds != nil {
		return e.Thresholds(s)
	}
	return e.Threshold
}

// RuleEntrants are all [Rules], ready to compare.
func RuleEntrants() []Entrant {
	var es []Entrant
	for _, r := range Rules() {
		es = append(es, Entrant{Name: r.Name, Scorer: r, Threshold: 0.5})
	}
	return es
}

// Subset is a choice among the sites.
type Subset string

const (
	// AllSites is every site with outstanding blocks.
	AllSites Subset = "all"
	// FiveLeaked leaves out the sites with one to four leaked blocks.
	FiveLeaked Subset = ">=5"
)

// Subsets in the order of tables.
func Subsets() []Subset { return []Subset{AllSites, FiveLeaked} }

func (s Subset) holds(leaked int64) bool { return s == AllSites || leaked == 0 || leaked >= 5 }

// Result is what the entrants said of each site of the samples, and the truth.
type Result struct {
	entrants []Entrant
	samples  []Sample // without Scene and Truth
	cuts     []uint32 // by sample: the number of events before its cut
	sites    []site
	// applies and thresholds, by entrant and sample; scores by entrant and site.
	applies    [][]bool
	thresholds [][]float64
	scores     [][]float64
	// blocks and bytes, by entrant and sample, for each of Subsets.
	blocks, bytes [][][2]Confusion
	byBlock       []bool      // by sample
	agreements    []Agreement // by sample
	// first, by entrant, is when sites were first flagged; see firstFlags.
	first []map[place]uint32
}

// site is one site of a sample.
type site struct {
	sample int32
	leaked int64
	// number is its index in Run.Sites; since is the event from which on its
	// first leaked block is leaked, 0 where that is not known.
	number int32
	since  uint32
	// kinds of a leaking site, by trait; nil of others.
	kinds []int
}

// Compare lets all entrants judge the same samples. It keeps none of the samples'
// scenes, so that a sequence that loads them one by one needs memory for one.
func Compare(ctx context.Context, samples iter.Seq2[*Sample, error], entrants []Entrant) (*Result, error) {
	if len(entrants) == 0 {
		return nil, errors.New("nothing to compare: name a model or a rule")
	}
	n := len(entrants)
	r := &Result{entrants: entrants, applies: make([][]bool, n), thresholds: make([][]float64, n), scores: make([][]float64, n),
		blocks: make([][][2]Confusion, n), bytes: make([][][2]Confusion, n), first: make([]map[place]uint32, n)}
	for s, err := range samples {
		if err != nil {
			return nil, err
		}
		if err := r.add(ctx, s); err != nil {
			return nil, err
		}
	}
	if len(r.samples) == 0 {
		return nil, errors.New("no run to evaluate")
	}
	return r, nil
}

func (r *Result) add(ctx context.Context, s *Sample) error {
	at := int32(len(r.samples))
	from := len(r.sites)
	r.samples = append(r.samples, Sample{Program: s.Program, Log: s.Log, Setting: s.Setting, Cut: s.Cut, Between: s.Between})
	r.cuts = append(r.cuts, s.Scene.Cut)
	r.byBlock = append(r.byBlock, s.Truth.ByBlock())
	r.agreements = append(r.agreements, agreement(s.Scene, s.Truth, detect.Grouping{}))
	s.Scene.Views(func(v *tokenize.View) bool {
		leaked := s.Truth.Count(v)
		r.sites = append(r.sites, site{at, leaked, int32(v.Site), s.Truth.first(v), kindsOf(s.Truth, v, leaked)})
		return true
	})
	for k, e := range r.entrants {
		applies := true
		if a, ok := e.Scorer.(interface{ Applies(*tokenize.Scene) bool }); ok {
			applies = a.Applies(s.Scene)
		}
		r.applies[k] = append(r.applies[k], applies)
		j := judge{threshold: e.threshold(s.Scene), sample: s, sites: r.sites[from:]}
		r.thresholds[k] = append(r.thresholds[k], j.threshold)
		if !applies {
			j.scores = make([]float64, len(j.sites))
		} else if err := detect.Each(ctx, e.Scorer, s.Scene, j.add); err != nil {
			return err
		}
		r.scores[k] = append(r.scores[k], j.scores...)
		r.blocks[k] = append(r.blocks[k], j.blocks)
		r.bytes[k] = append(r.bytes[k], j.bytes)
	}
	return nil
}

// judge collects what one entrant says of one sample.
type judge struct {
	threshold     float64
	sample        *Sample
	sites         []site
	scores        []float64
	blocks, bytes [2]Confusion
}

func (j *judge) add(v *tokenize.View, p float64, blocks []float64) error {
	leaked := j.sites[len(j.scores)].leaked
	j.scores = append(j.scores, p)
	if !j.sample.Truth.ByBlock() {
		return nil
	}
	flagged := map[int32]bool{}
	if p >= j.threshold {
		for _, i := range detect.Suspects(v.Live, blocks) {
			flagged[i] = true
		}
	}
	for k, subset := range Subsets() {
		if !subset.holds(leaked) {
			continue
		}
		for _, i := range v.Live {
			b := v.Scene.Run.Blocks.At(i)
			leak := j.sample.Truth.Leaked(i, v.Scene.Cut)
			j.blocks[k].count(flagged[i], leak, int64(b.Count))
			j.bytes[k].count(flagged[i], leak, b.Size)
		}
	}
	return nil
}
