package tokenize

import (
	"math"
	"slices"
	"time"

	"leakformer/ingest"
)

// Snapshot is one look at what a process held.
type Snapshot struct {
	// Scan is its number in the log, from 0; Time since the log's start, 0
	// without a clock.
	Scan int32
	Time time.Duration
	// Bytes is what all sites held.
	Bytes int64
}

// Point is what one snapshot shows of a site.
type Point struct {
	Scan          int32
	Blocks, Bytes int64
}

// maxSnapshots bounds the snapshots that a Run keeps: of more, every second one is
// kept, then every fourth, and so on, and always the last.
const maxSnapshots = 256

// series collects the snapshots of a log, whatever their number.
type series struct {
	snapshots []Snapshot
	points    [][]Point // by site
	stride    int32
}

// stays reports whether a snapshot is kept when others follow.
func (s *series) stays(scan int32) bool { return scan%s.stride == 0 }

// add books bytes in blocks of a site.
func (s *series) add(site uint32, scan int32, at time.Duration, blocks, bytes int64) {
	n := len(s.snapshots)
	if n == 0 || s.snapshots[n-1].Scan < scan {
		s.begin(scan, at)
		n = len(s.snapshots)
	}
	if s.snapshots[n-1].Scan != scan {
		return // a snapshot that jumped back, which no reader makes
	}
	s.snapshots[n-1].Bytes += bytes
	for int(site) >= len(s.points) {
		s.points = append(s.points, nil)
	}
	ps := s.points[site]
	last := len(ps) - 1
	switch {
	case last >= 0 && ps[last].Scan == scan:
		ps[last].Blocks += blocks
		ps[last].Bytes += bytes
	case last >= 0 && !s.stays(ps[last].Scan):
		ps[last] = Point{scan, blocks, bytes}
	default:
		s.points[site] = append(ps, Point{scan, blocks, bytes})
	}
}

func (s *series) begin(scan int32, at time.Duration) {
	s.stride = max(s.stride, 1)
	if n := len(s.snapshots); n > 0 && !s.stays(s.snapshots[n-1].Scan) {
		s.snapshots = s.snapshots[:n-1]
	}
	if len(s.snapshots) == maxSnapshots {
		s.stride *= 2
		s.thin(-1)
	}
	s.snapshots = append(s.snapshots, Snapshot{Scan: scan, Time: at})
}

// thin drops what does not stay, but for the last scan.
func (s *series) thin(last int32) {
	s.snapshots = slices.DeleteFunc(s.snapshots, func(p Snapshot) bool { return !s.stays(p.Scan) && p.Scan != last })
	for i := range s.points {
		s.points[i] = slices.DeleteFunc(s.points[i], func(p Point) bool { return !s.stays(p.Scan) && p.Scan != last })
	}
}

// finish hands the series to the run.
func (s *series) finish(r *Run) {
	if n := len(s.snapshots); n > 0 {
		s.thin(s.snapshots[n-1].Scan)
	}
	for len(s.points) < len(r.Sites) {
		s.points = append(s.points, nil)
	}
	r.Snapshots, r.Series = s.snapshots, s.points
}

// Course is what each of the snapshots shows of a site, with zeros where it was not
// there.
func (r *Run) Course(site int) []Point {
	course := make([]Point, len(r.Snapshots))
	given := r.Series[site]
	for i, look := range r.Snapshots {
		course[i].Scan = look.Scan
		if len(given) > 0 && given[0].Scan == look.Scan {
			course[i], given = given[0], given[1:]
		}
	}
	return course
}

// Looks says how snapshots are taken of a scene.
type Looks struct {
	// At are the numbers of events after which, in rising order.
	At []uint32
	// Top is how many sites a snapshot lists, those with the most bytes; 0 is all.
	Top int
	// BytesOnly says that the snapshots do not count blocks.
	BytesOnly bool
}

// AsSeries shows a scene of an event log the way a tool would that only looks at
// the live blocks now and then. of says for each block of the scene's run in which
// block of the series it is at the last look; -1 is none.
func (s *Scene) AsSeries(l Looks) (run *Run, of []int32) {
	k := len(l.At)
	blocks, bytes := s.levels(l.At)
	run = &Run{Name: s.Run.Name, Program: s.Run.Program, Class: ingest.Snapshots, Sites: s.Run.Sites,
		BySite: make([][]int32, len(s.Run.Sites)), Report: s.Run.Report, byKey: s.Run.byKey}
	book := series{stride: 1}
	seq := uint32(0)
	for j := range k {
		for _, site := range l.listed(bytes, j) {
			n := blocks[site*k+j]
			if l.BytesOnly {
				n = 1
			}
			book.add(uint32(site), int32(j), s.Run.Time(l.At[j]), n, bytes[site*k+j])
			if own := run.BySite[site]; own == nil {
				run.BySite[site] = []int32{run.Blocks.Add(Block{Born: seq, Site: uint32(site), Scans: 1}, 0, 0)}
			}
			own := run.BySite[site][0]
			b := run.Blocks.At(own)
			b.Died, b.Size, b.Count = Alive, bytes[site*k+j], uint32(min(n, math.MaxUint32))
			if j < k-1 {
				b.Died = seq // unless a later look shows it again
			}
			run.Blocks.Set(own, b)
			seq++
		}
	}
	run.Events = seq
	book.finish(run)
	of = make([]int32, s.Run.Blocks.Len())
	for i := range of {
		of[i] = -1
		if own := run.BySite[s.Run.Blocks.Site(int32(i))]; own != nil && s.Live(int32(i)) && run.Blocks.Died(own[0]) == Alive {
			of[i] = own[0]
		}
	}
	return run, of
}

// levels are the live blocks and bytes of each site at each moment, site by site.
func (s *Scene) levels(at []uint32) (blocks, bytes []int64) {
	k := len(at)
	blocks, bytes = make([]int64, k*len(s.Run.Sites)), make([]int64, k*len(s.Run.Sites))
	from := func(event uint32) int { j, _ := slices.BinarySearch(at, event); return j }
	for i, b := range s.Run.Blocks.All() {
		if b.Born >= s.Cut {
			break
		}
		row := int(b.Site) * k
		// The block shows in looks after its birth and up to its death.
		first, end := from(b.Born+1), k
		if d := s.died(i); d < s.Cut {
			end = from(d + 1)
		}
		if first < end {
			blocks[row+first] += int64(b.Count)
			bytes[row+first] += b.Size
			if end < k {
				blocks[row+end] -= int64(b.Count)
				bytes[row+end] -= b.Size
			}
		}
	}
	for i := range blocks {
		if i%k > 0 {
			blocks[i] += blocks[i-1]
			bytes[i] += bytes[i-1]
		}
	}
	return blocks, bytes
}

// listed are the sites that look j shows, in their order.
func (l *Looks) listed(bytes []int64, j int) []int {
	k := len(l.At)
	var sites []int
	for site := range len(bytes) / k {
		if bytes[site*k+j] > 0 {
			sites = append(sites, site)
		}
	}
	if l.Top > 0 && len(sites) > l.Top {
		slices.SortStableFunc(sites, func(a, b int) int { return int(min(max(bytes[b*k+j]-bytes[a*k+j], -1), 1)) })
		sites = sites[:l.Top]
		slices.Sort(sites)
	}
	return sites
}

// Trend is what the snapshots of a series say of one site.
type Trend struct {
	Looks []Snapshot
	// Points has one for each look, with zeros where the site was not there.
	Points []Point
}

// NewTrend looks at the site of a view of a series.
func NewTrend(v *View) *Trend {
	run := v.Scene.Run
	t := &Trend{run.Snapshots, run.Course(v.Site)}
	if v.steady {
		now := t.Points[len(t.Points)-1]
		for i := range t.Points {
			t.Points[i].Blocks, t.Points[i].Bytes = now.Blocks, now.Bytes
		}
	}
	return t
}

// Steps counts in how many of the steps between looks the bytes rose and fell.
func (t *Trend) Steps() (rose, fell, all float64) {
	for i := 1; i < len(t.Points); i++ {
		switch from, to := t.Points[i-1].Bytes, t.Points[i].Bytes; {
		case to > from:
			rose++
		case to < from:
			fell++
		}
	}
	return rose, fell, float64(len(t.Points) - 1)
}

// Line is R² of the straight line through the bytes, 0 if it does not rise.
func (t *Trend) Line() float64 {
	n := float64(len(t.Points))
	var x, y, xx, yy, xy float64
	for i, p := range t.Points {
		a, b := float64(i), float64(p.Bytes)
		x, y, xx, yy, xy = x+a, y+b, xx+a*a, yy+b*b, xy+a*b
	}
	cov, vx, vy := xy-x*y/n, xx-x*x/n, yy-y*y/n
	if cov <= 0 || vx <= 0 || vy <= 0 {
		return 0
	}
	return min(cov*cov/(vx*vy), 1)
}

// tokens sum the series up.
func (t *Trend) tokens() []int32 {
	last := len(t.Points) - 1
	seen, first := 0.0, 0
	for i := last; i >= 0; i-- {
		if t.Points[i].Bytes > 0 {
			seen, first = seen+1, i
		}
	}
	rose, fell, steps := t.Steps()
	now := float64(t.Points[last].Bytes)
	return []int32{
		token(fSnapshots, logBin(int64(len(t.Points)))),
		token(fSeen, shareBin(seen, float64(len(t.Points)))),
		token(fRose, shareBin(rose, steps)),
		token(fFell, shareBin(fell, steps)),
		token(fLine, shareBin(t.Line(), 1)),
		token(fGrown, ratioBin(now, float64(t.Points[first].Bytes))),
		token(fLateGrown, changeBin(float64(t.Points[last/2].Bytes), now)),
		token(fWholeGrown, ratioBin(float64(t.Looks[last].Bytes), float64(t.Looks[0].Bytes))),
		token(fFirst, placeBin(uint32(first), uint32(len(t.Points)))),
	}
}

// looks writes the snapshots, or some evenly chosen ones of many, and the last.
func (w *writer) looks() {
	t := NewTrend(w.v)
	n := min(len(t.Points), maxLooks)
	most, before := int64(0), -1
	for k := 1; k <= n; k++ {
		i := k*len(t.Points)/n - 1
		p := t.Points[i]
		most = max(most, p.Bytes)
		ids := []int32{
			token(fKind, int(kindLook)),
			token(fLook, placeBin(uint32(i), uint32(len(t.Points)))),
			token(fLive, logBin(p.Blocks)),
			token(fBytes, halfLogBin(p.Bytes)),
			token(fOfMost, shareBin(float64(p.Bytes), float64(most))),
			token(fOfWhole, shareBin(float64(p.Bytes), float64(t.Looks[i].Bytes))),
		}
		if before >= 0 {
			ids = append(ids,
				token(fChange, changeBin(float64(t.Points[before].Bytes), float64(p.Bytes))),
				token(fBlockChange, changeBin(float64(t.Points[before].Blocks), float64(p.Blocks))),
				token(fWholeChange, changeBin(float64(t.Looks[before].Bytes), float64(t.Looks[i].Bytes))))
		}
		if w.v.Ref != nil {
			ids = append(ids, token(fRefLook, ratioBin(float64(p.Bytes), float64(w.v.Ref.MaxBytes))))
		}
		w.add(-1, false, ids...)
		before = i
	}
}
