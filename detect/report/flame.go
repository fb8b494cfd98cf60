package report

import (
	"cmp"
	"slices"
	"strconv"
)

// flame is a function in a flame graph, with those that it calls.
type flame struct {
	Name  string
	Bytes int64
	// Width in percent of the caller's, Share in percent of all.
	Width, Share string
	Colour       int
	Calls        []*flame

	byName map[string]*flame
}

// add adds bytes to a path of calls.
func (f *flame) add(path []string, bytes int64) {
	f.Bytes += bytes
	for _, name := range path {
		call := f.byName[name]
		if call == nil {
			call = &flame{Name: printable(name)}
			if f.byName == nil {
				f.byName = map[string]*flame{}
			}
			f.byName[name] = call
			f.Calls = append(f.Calls, call)
		}
		call.Bytes += bytes
		f = call
	}
}

// finish sets the widths, the widest call first.
func (f *flame) finish() { f.measure(f.Bytes, f.Bytes) }

func (f *flame) measure(caller, all int64) {
	f.Width, f.Share = percent(f.Bytes, caller), percent(f.Bytes, all)
	for _, c := range f.Name {
		f.Colour = (f.Colour*31 + int(c)) % 4
	}
	slices.SortStableFunc(f.Calls, func(a, b *flame) int { return cmp.Compare(b.Bytes, a.Bytes) })
	for _, c := range f.Calls {
		c.measure(f.Bytes, all)
	}
}

func percent(part, whole int64) string {
	return strconv.FormatFloat(100*float64(part)/float64(max(whole, 1)), 'f', 2, 64)
}

// Size writes the bytes for people.
func (f *flame) Size() string { return Bytes(f.Bytes) }

// flameRow is a row of the flame graph's table.
type flameRow struct{ Name, Size, Share string }

// shownFunctions is how many rows that has.
const shownFunctions = 40

// Functions are the functions with the most leaked bytes below them; in a recursion
// bytes count once.
func (f *flame) Functions() (rows []flameRow) {
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
		rows = append(rows, flameRow{name, Bytes(total[name]), percent(total[name], f.Bytes)})
	}
	return rows
}

// walk visits each call that is not within one of the same name.
func (f *flame) walk(above map[string]bool, visit func(name string, bytes int64)) {
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
