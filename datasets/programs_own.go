package datasets

import "fmt"

// Programs of ours: a service with a leak behind a flag, small programs with
// one natural bug each, and their benign twins.
var own = ownPrograms()

func ownPrograms() []Program {
	all := []Program{{Name: "demo", Kind: "demo", Packages: []string{"gcc"}, Binary: "gcc", Source: "demo.c", Natural: true, Prepare: demo}}
	for _, bug := range []string{"early-return", "overwritten-pointer", "reference-count", "list-node", "callback-twice", "realloc-misuse", "never-emptied"} {
		all = append(all, Program{Name: "bug-" + bug, Kind: "demo", Packages: []string{"gcc"}, Binary: "gcc", Source: "bugs.c", Natural: true, Prepare: bugs(bug)})
	}
	for _, bug := range []string{"exception-path", "shared-cycle", "unbounded-map"} {
		all = append(all, Program{Name: "bug-" + bug, Kind: "demo", Packages: []string{"g++"}, Binary: "g++", Source: "bugs.cc", Natural: true, Prepare: bugs(bug)})
	}
	for _, shape := range []string{"bounded-cache", "lazy-singleton", "arena", "interned-strings", "plateau", "pool", "thread-buffers"} {
		all = append(all, Program{Name: "twin-" + shape, Kind: "demo", Packages: []string{"gcc"}, Binary: "gcc", Source: "twins.c", Prepare: twins(shape)})
	}
	return all
}

func demo(w *Work) (Command, error) {
	args := []string{fmt.Sprintf("--requests=%d", w.Amount(4000, 30000)), fmt.Sprintf("--seed=%d", w.Rand.IntN(1<<30)),
		fmt.Sprintf("--cache=%d", w.Between(30, 500)), fmt.Sprintf("--threads=%d", 1+w.Rand.IntN(3))}
	return Command{Args: append(args, leakRate(w)...)}, nil
}

// leakRate is how often the bug of a leaky run strikes: always, or less often.
func leakRate(w *Work) []string {
	if !w.Leaky {
		return nil
	}
	return []string{fmt.Sprintf("--leak=%.3f", min(1, 0.02*float64(w.Between(1, 100))))}
}

func bugs(name string) func(w *Work) (Command, error) {
	return func(w *Work) (Command, error) {
		args := []string{"--bug=" + name, fmt.Sprintf("--rounds=%d", w.Amount(8000, 60000)), fmt.Sprintf("--seed=%d", w.Rand.IntN(1<<30))}
		return Command{Args: append(args, leakRate(w)...)}, nil
	}
}

func twins(name string) func(w *Work) (Command, error) {
	return func(w *Work) (Command, error) {
		return Command{Args: []string{"--shape=" + name, fmt.Sprintf("--rounds=%d", w.Amount(8000, 60000)),
			fmt.Sprintf("--seed=%d", w.Rand.IntN(1<<30)), fmt.Sprintf("--size=%d", w.Between(30, 400))}}, nil
	}
}
