package datasets

// Programs returns the programs that can be collected, those of Debian first and our own last.
func Programs() []Program {
	var all []Program
	for _, group := range [][]Program{interpreters, texts, compilers, documents, tools, servers, generators, formats, scripts, web, fresh, growing, own} {
		all = append(all, group...)
	}
	return all
}

// FindPrograms returns the programs of these names, in this order, and the
// names that it does not know.
func FindPrograms(names ...string) (found []Program, unknown []string) {
	byName := map[string]Program{}
	for _, p := range Programs() {
		byName[p.Name] = p
	}
	for _, name := range names {
		if p, ok := byName[name]; ok {
			found = append(found, p)
		} else {
			unknown = append(unknown, name)
		}
	}
	return found, unknown
}
