package eval

import (
	"cmp"
	"math"
	"slices"
)

// Metrics is how well one entrant did on the sites of one table row.
type Metrics struct {
	Runs      int   `json:"runs"`
	Sites     int64 `json:"sites"`
	Positives int64 `json:"positives"`
	// Confusion counts sites at the entrant's threshold.
	Confusion Confusion `json:"confusion"`
	Precision Rate      `json:"precision"`
	Recall    Rate      `json:"recall"`
	F1        Rate      `json:"f1"`
	Accuracy  Rate      `json:"accuracy"`
	// BaseRate is the accuracy of flagging nothing.
	BaseRate Rate `json:"base_rate"`
	// AveragePrecision is the area under the precision-recall curve.
	AveragePrecision Rate `json:"average_precision"`
	// CalibrationError is the expected calibration error over the bins of
	// Reliability; NaN for scores that are no probabilities.
	CalibrationError Rate  `json:"calibration_error"`
	Reliability      []Bin `json:"reliability,omitempty"`
	// Blocks and Bytes count single blocks and their bytes, in runs whose
	// labels name blocks.
	Blocks Share `json:"blocks"`
	Bytes  Share `json:"bytes"`
	// Verdicts count runs: one leaks if any of its sites does, and is called
	// leaky if any is flagged. A run all of whose leaks are left out of the
	// subset is left out.
	Verdicts Verdicts `json:"verdicts"`
	// Detection is how soon leaks were flagged, up to this cut.
	Detection Detection `json:"detection"`
	// Grouping is how the groups of sites fit the causes of leaks, in reports
	// whose labels know them. It is the same for all scorers and subsets.
	Grouping Agreement `json:"grouping,omitzero"`
	// Curve is precision over recall; see [TableConfig].Curves.
	Curve []Point `json:"curve,omitempty"`
}

// Verdicts says how well runs that leak were told from those that do not.
type Verdicts struct {
	Confusion Confusion `json:"confusion"`
	Share
}

// Detection is the time to detection: the number of events from the first leaked
// block of a site until the site is flagged for the first time. Runs are looked at
// only at the cuts of their samples, so that it is too long by up to the distance
// between two.
type Detection struct {
	// Sites that leak and whose labels say since when; Found are those of them
	// that were flagged, while they leaked, at this cut or an earlier one.
	Sites int64 `json:"sites"`
	Found int64 `json:"found"`
	// Events is the median over the sites found; Part the same as a share of the
	// run's events up to the cut.
	Events Rate `json:"events"`
	Part   Rate `json:"part"`
}

// Point is a place on a precision-recall curve.
type Point struct {
	Recall    float64 `json:"recall"`
	Precision float64 `json:"precision"`
}

// Share is the precision and recall of single blocks, or of bytes.
type Share struct {
	Precision Rate `json:"precision"`
	Recall    Rate `json:"recall"`
}

// Row is one line of a table.
type Row struct {
	Setting string  `json:"setting"`
	Cut     float64 `json:"cut"`
	Subset  Subset  `json:"subset"`
	// Program is "" in rows over all programs.
	Program string  `json:"program,omitempty"`
	Scorer  string  `json:"scorer"`
	Metrics Metrics `json:"metrics"`
}

// TableConfig says how a table is made. The zero value works.
type TableConfig struct {
	// Resamples of the bootstrap; 0: 200.
	Resamples int
	// Seed of the bootstrap.
	Seed uint64
	// Programs adds rows for each program.
	Programs bool
	// Curves adds precision-recall curves to the metrics.
	Curves bool
}

// group is what the rows of one block of a table have in common.
type group struct {
	setting string
	cut     float64
	program string
}

// Rows makes the table: for each setting, cut and subset a row for each entrant.
// A rule that does not apply to any of the runs there has no row.
func (r *Result) Rows(cfg TableConfig) []Row {
	if cfg.Resamples == 0 {
		cfg.Resamples = 200
	}
	var rows []Row
	for _, g := range r.groups(cfg.Programs) {
		samples, runs := r.runsOf(g)
		for k, subset := range Subsets() {
			for e, entrant := range r.entrants {
				if !r.applied(e, samples) {
					continue
				}
				m := r.metrics(e, k, samples, runs, cfg)
				rows = append(rows, Row{g.setting, g.cut, subset, g.program, entrant.Name, m})
			}
		}
	}
	return rows
}

// groups lists settings and cuts in order, over all programs and then, if wanted,
// for each.
func (r *Result) groups(programs bool) []group {
	seen := map[group]bool{}
	for _, s := range r.samples {
		if s.Between {
			continue
		}
		seen[group{s.Setting, s.Cut, ""}] = true
		if programs {
			seen[group{s.Setting, s.Cut, s.Program}] = true
		}
	}
	var gs []group
	for g := range seen {
		gs = append(gs, g)
	}
	slices.SortFunc(gs, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.program, b.program), cmp.Compare(a.setting, b.setting), cmp.Compare(a.cut, b.cut))
	})
	return gs
}

// runsOf numbers the samples of a group, which are its runs: -1 for the others.
func (r *Result) runsOf(g group) (samples []int32, runs int) {
	samples = make([]int32, len(r.samples))
	for i, s := range r.samples {
		samples[i] = -1
		if !s.Between && s.Setting == g.setting && s.Cut == g.cut && (g.program == "" || g.program == s.Program) {
			samples[i] = int32(runs)
			runs++
		}
	}
	return samples, runs
}

func (r *Result) applied(entrant int, samples []int32) bool {
	for i, run := range samples {
		if run >= 0 && r.applies[entrant][i] {
			return true
		}
	}
	return false
}

// tally is the counts of one run.
type tally struct {
	sites, blocks, bytes, verdicts Confusion
	delays                         []delay
}

// metrics measures an entrant on the runs of a group; subset indexes Subsets.
func (r *Result) metrics(entrant, subset int, samples []int32, runs int, cfg TableConfig) Metrics {
	e := r.entrants[entrant]
	tallies := make([]tally, runs)
	for i, run := range samples {
		if run >= 0 {
			tallies[run].blocks, tallies[run].bytes = r.blocks[entrant][i][subset], r.bytes[entrant][i][subset]
		}
	}
	var all []scored
	verdicts := make([]verdict, runs)
	for i, s := range r.sites {
		run := samples[s.sample]
		if run < 0 {
			continue
		}
		if !Subsets()[subset].holds(s.leaked) {
			verdicts[run].leftOut = true
			continue
		}
		x := scored{r.scores[entrant][i], run, s.leaked > 0}
		flagged := r.flags(entrant, i)
		tallies[run].sites.count(flagged, x.leak, 1)
		verdicts[run].add(flagged, x.leak)
		all = append(all, x)
	}
	for run, v := range verdicts {
		v.count(&tallies[run].verdicts)
	}
	detection := r.detect(entrant, subset, samples, tallies)
	sortScores(all)
	once := make([]int64, runs)
	for i := range once {
		once[i] = 1
	}
	ranked := upToLastLeak(all)
	value := measures(tallies, ranked, once)
	low, high := bootstrap(runs, cfg.Resamples, cfg.Seed, func(weight []int64) []float64 { return measures(tallies, ranked, weight) })
	rate := func(k int) Rate { return Rate{value[k], low[k], high[k]} }
	sum := total(tallies, once)
	m := Metrics{
		Runs: runs, Sites: int64(len(all)), Positives: sum.sites.TP + sum.sites.FN, Confusion: sum.sites, BaseRate: alone(sum.sites.BaseRate()),
		Precision: rate(0), Recall: rate(1), F1: rate(2), Accuracy: rate(3), AveragePrecision: rate(4),
		Blocks:           Share{rate(5), rate(6)},
		Bytes:            Share{rate(7), rate(8)},
		CalibrationError: alone(math.NaN()),
		Verdicts:         Verdicts{sum.verdicts, Share{rate(9), rate(10)}},
		Detection:        detection,
	}
	m.Detection.Events, m.Detection.Part = rate(11), rate(12)
	for i, run := range samples {
		if run >= 0 {
			m.Grouping.merge(&r.agreements[i])
		}
	}
	if cfg.Curves {
		m.Curve = curve(all)
	}
	if e.Probabilities {
		m.Reliability = reliability(all)
		m.CalibrationError.Value = calibrationError(m.Reliability)
	}
	return m
}

func total(tallies []tally, weight []int64) tally {
	var sum tally
	for run, t := range tallies {
		sum.sites.add(t.sites, weight[run])
		sum.blocks.add(t.blocks, weight[run])
		sum.bytes.add(t.bytes, weight[run])
		sum.verdicts.add(t.verdicts, weight[run])
	}
	return sum
}

// measures are the figures that have intervals, with each run counted weight times.
func measures(tallies []tally, sorted []scored, weight []int64) []float64 {
	t := total(tallies, weight)
	events, part := delays(tallies, weight)
	return []float64{
		t.sites.Precision(), t.sites.Recall(), t.sites.F1(), t.sites.Accuracy(), averagePrecision(sorted, weight),
		t.blocks.Precision(), t.blocks.Recall(), t.bytes.Precision(), t.bytes.Recall(),
		t.verdicts.Precision(), t.verdicts.Recall(), events, part,
	}
}
