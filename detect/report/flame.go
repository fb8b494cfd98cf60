package report

import (
	"cmp"
	"slices"
	"strconv"
)

// Flame is a function in a flame graph, with those that it calls.
type Flame struct {
	Name  string   `json:"name"`
	Bytes int64    `json:"bytes"`
	Calls []*Flame `json:"calls,omitempty"`
	// Width in percent of the caller's, Share in percent of all.
	Width string `json:"-"`
	Share string `json:"-"`
	// Colour is one of four numbers, the same for the same name.
	Colour int `json:"colour"`

	byName map[string]*Flame
}

// NewFlame is a flame graph of nothing.
func NewFlame() *Flame { return &Flame{Name: "all leaks"} }

// Add adds bytes to a path of calls.
func (f *Flame) Add(path []string, bytes int64) {
	f.Bytes += bytes
	for _, name := range path {
		call := f.byName[name]
		if call == nil {
			call = &Flame{Name: printable(name)}
			if f.byName == nil {
				f.byName = map[string]*Flame{}
			}
			f.byName[name] = call
			f.Calls = append(f.Calls, call)
		}
		call.Bytes += bytes
		f = call
	}
}

// Finish sets what depends on all that was added, and puts the widest calls first.
func (f *Flame) Finish() { f.measure(f.Bytes, f.Bytes) }

func (f *Flame) measure(caller, all int64) {
	f.Width, f.Share = percent(f.Bytes, caller), percent(f.Bytes, all)
	for _, c := range f.Name {
		f.Colour = (f.Colour*31 + int(c)) % 4
	}
	slices.SortStableFunc(f.Calls, func(a, b *Flame) int { return cmp.Compare(b.Bytes, a.Bytes) })
	for _, c := range f.Calls {
		c.measure(f.Bytes, all)
	}
}

func percent(part, whole int64) string {
	return strconv.FormatFloat(100*float64(part)/float64(max(whole, 1)), 'f', 2, 64)
}

// Size writes the bytes for people.
func (f *Flame) Size() string { return Bytes(f.Bytes) }

// FlameRow is a row of the flame graph's table: a function, and what is leaked in it and
// in what it calls.
type FlameRow struct {
	Name string `json:"name"`
	// Size is for people, Share in percent of all.
	Size  string `json:"size"`
	Share string `json:"share"`
}

// shownFunctions is how many rows that has.
const shownFunctions = 40

// Functions are the functions with the most leaked bytes below them; in a recursion
// bytes count once.
func (f *Flame) Functions() (rows []FlameRow) {
	total := map[string]int64{}
	var names []string
	f.walk(map[string]bool{}, func(name string, bytes int64) {
		if _, known := total[name]; !known {
			names = append(names, name)
		}
		total[name] += bytes
	})
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(total[b], total[a]) })
	for _, name := range names[:min(len(names), shownFunctions)] {
		rows = append(rows, FlameRow{name, Bytes(total[name]), percent(total[name], f.Bytes)})
	}
	return rows
}

// walk visits each call that is not within one of the same name.
func (f *Flame) walk(above map[string]bool, visit func(name string, bytes int64)) {
	for _, c := range f.Calls {
		again := above[c.Name]
		if !again {
			visit(c.Name, c.Bytes)
			above[c.Name] = true
		}
		c.walk(above, visit)
		if !again {
			delete(above, c.Name)
		}
	}
}
