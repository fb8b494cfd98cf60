package main

import (
	"debug/elf"
	"fmt"
)

// An object is what the loader sees of a shared library.
type object struct {
	name    string   // that it is known by
	needs   []string // names of libraries
	defines []string // symbols
	uses    map[string]bool
}

func readObject(path string) (*object, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	o := &object{uses: map[string]bool{}}
	if o.needs, err = f.ImportedLibraries(); err != nil {
		return nil, fmt.Errorf("reading the needs of %s: %w", path, err)
	}
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil {
		return nil, fmt.Errorf("reading the name of %s: %w", path, err)
	}
	if len(names) > 0 {
		o.name = names[0]
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("reading the symbols of %s: %w", path, err)
	}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			o.uses[s.Name] = true
		} else {
			o.defines = append(o.defines, s.Name)
		}
	}
	return o, nil
}
