package eval

import (
	"encoding/json"
	"fmt"
	"math"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// Agreement compares groups that were found in reports with what really lost the
// blocks: leaked entries of one cause belong into one group.
//
// Only entries of one report are compared with each other. That entries of
// different reports are told apart would be no merit.
type Agreement struct {
	// Entries with a known cause, and the groups and causes that they have.
	Entries, Groups, Causes int64
	// right is the entries of the most frequent cause of their group, whole those in
	// the most frequent group of their cause.
	right, whole int64
	// together counts pairs of one group and one cause, byChance how many there
	// would be if groups of these sizes were drawn, and atMost how many there
	// could be: the mean of the pairs of one group and those of one cause.
	together, byChance, atMost float64
}

// Add compares the entries of one report: found[i] and causes[i] are the group and
// the cause of entry i.
func (a *Agreement) Add(found, causes []int) {
	cells, groups, truth := map[[2]int]int64{}, map[int]int64{}, map[int]int64{}
	ofGroup, ofCause := map[int]int64{}, map[int]int64{}
	for i, g := range found {
		cell := [2]int{g, causes[i]}
		cells[cell]++
		groups[g]++
		truth[causes[i]]++
		ofGroup[g] = max(ofGroup[g], cells[cell])
		ofCause[causes[i]] = max(ofCause[causes[i]], cells[cell])
	}
	a.right += sum(ofGroup)
	a.whole += sum(ofCause)
	a.Entries += int64(len(found))
	a.Groups += int64(len(groups))
	a.Causes += int64(len(truth))
	if all := pairs(int64(len(found))); all > 0 {
		a.together += pairsOf(cells)
		a.byChance += pairsOf(groups) * pairsOf(truth) / all
		a.atMost += (pairsOf(groups) + pairsOf(truth)) / 2
	}
}

func sum(sizes map[int]int64) (n int64) {
	for _, size := range sizes {
		n += size
	}
	return n
}

func pairs(n int64) float64 { return float64(n) * float64(n-1) / 2 }

func pairsOf[K comparable](sizes map[K]int64) float64 {
	sum := 0.0
	for _, n := range sizes {
		sum += pairs(n)
	}
	return sum
}

func (a *Agreement) merge(b *Agreement) {
	a.Entries += b.Entries
	a.Groups += b.Groups
	a.Causes += b.Causes
	a.right += b.right
	a.whole += b.whole
	a.together += b.together
	a.byChance += b.byChance
	a.atMost += b.atMost
}

// Purity is the share of entries whose cause is the most frequent one of their
// group; NaN without entries. Groups of one entry are pure: see Completeness.
func (a Agreement) Purity() float64 { return share(a.right, a.Entries) }

// Completeness is the share of entries that are in the group that has most of their
// cause; NaN without entries. One group of all is complete.
func (a Agreement) Completeness() float64 { return share(a.whole, a.Entries) }

// AdjustedRand is the adjusted Rand index (Hubert and Arabie 1985) over the pairs
// of entries of one report: 1 where groups and causes are the same, about 0 where
// groups are drawn at random. It is NaN where nothing could be wrong: where each
// report has one entry, or one cause and one group.
//
// A report of one cause gives 0 if there are two groups, however large the first
// and small the second: there is nothing from which entries could be kept apart. One
// such report with many entries outweighs all others: see Purity and Completeness.
func (a Agreement) AdjustedRand() float64 {
	if a.atMost <= a.byChance {
		return math.NaN()
	}
	return (a.together - a.byChance) / (a.atMost - a.byChance)
}

// MarshalJSON writes the counts, purity, completeness and adjusted_rand.
func (a Agreement) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Entries      int64 `json:"entries"`
		Groups       int64 `json:"groups"`
		Causes       int64 `json:"causes"`
		Purity       Rate  `json:"purity"`
		Completeness Rate  `json:"completeness"`
		AdjustedRand Rate  `json:"adjusted_rand"`
	}{a.Entries, a.Groups, a.Causes, alone(a.Purity()), alone(a.Completeness()), alone(a.AdjustedRand())})
}

// IsZero says that there is nothing to compare.
func (a Agreement) IsZero() bool { return a.Entries == 0 }

// agreement compares the groups that a detector makes of a report's sites with
// the causes of the labels. Event logs have none.
func agreement(s *tokenize.Scene, t *Truth, by detect.Grouping) (a Agreement) {
	if s.Run.Class == ingest.Events || len(t.causes) == 0 {
		return a
	}
	var sites []*tokenize.Site
	for i := range s.Run.Sites {
		sites = append(sites, &s.Run.Sites[i])
	}
	var found, causes []int
	for i, group := range by.Groups(sites) {
		for _, c := range t.causes[i] {
			found, causes = append(found, group), append(causes, c)
		}
	}
	a.Add(found, causes)
	return a
}

// entryCauses lists the causes of a report's entries, by their labels. An entry is
// of one call stack; where several causes lost blocks of it, it has that of most of
// them, at the label of that one.
func entryCauses(labels []datasets.Site) []int {
	most := map[string]int{}
	for i := range labels {
		key := fmt.Sprint(labels[i].Frames)
		if was, ok := most[key]; !ok || labels[i].Blocks > labels[was].Blocks {
			most[key] = i
		}
	}
	causes := make([]int, len(labels))
	for _, i := range most {
		causes[i] = labels[i].Cause
	}
	return causes
}
