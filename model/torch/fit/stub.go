package main

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// A site is a line of a wrapper source that the compiler complains about.
type site struct {
	file string // base name
	line int    // counted from 1
}

var (
	// "torch_api.cpp:12:3: error: ..." of g++ and clang++.
	errorLine = regexp.MustCompile(`^(.+?):(\d+):\d+: (?:fatal )?error: `)
	// The line of ours that made a template of libtorch fail: g++ says it
	// before the error ("required from here"), clang++ after it.
	causeLine = regexp.MustCompile(`^(.+?):(\d+):\d+: +(?:required from|note: in instantiation of)`)
)

// errorSites returns the lines of the files called names that the compiler
// output blames, in order of file and line and without repetition. stray is the first
// error that blames none of them, which no stub can cure; empty if none.
func errorSites(output []byte, names ...string) (sites []site, stray string) {
	ours := func(m [][]byte) (site, bool) {
		line, err := strconv.Atoi(string(m[2]))
		s := site{path.Base(string(m[1])), line}
		return s, err == nil && slices.Contains(names, s.file)
	}
	var causes []site  // since the last error
	var pending string // error elsewhere that waits for its cause
	for text := range bytes.Lines(output) {
		text = bytes.TrimRight(text, "\r\n")
		if m := causeLine.FindSubmatch(text); m != nil {
			s, ok := ours(m)
			switch {
			case ok && pending != "":
				sites, pending = append(sites, s), ""
			case ok:
				causes = append(causes, s)
			}
			continue
		}
		m := errorLine.FindSubmatch(text)
		if m == nil {
			continue
		}
		stray = cmp.Or(stray, pending)
		pending = ""
		if s, ok := ours(m); ok {
			sites = append(sites, s)
		} else if len(causes) > 0 {
			sites = append(sites, causes...)
		} else {
			pending = string(text)
		}
		causes = nil
	}
	slices.SortFunc(sites, func(a, b site) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	return slices.Compact(sites), cmp.Or(stray, pending)
}

// A function is a top-level function definition of a wrapper source.
type function struct {
	name        string
	void        bool
	first, last int // lines, counted from 0, both inclusive
	open        int // line with the opening brace of the body
}

var (
	// A definition starts in column one with its return type.
	definition = regexp.MustCompile(`^(?:[a-z_][\w:]*(?:<[^>]*>)?[ *]+)+(\w+)\(`)
	voidResult = regexp.MustCompile(`^void \w`)
)

// functionAt returns the definition in lines that encloses line i (from 0). It
// relies on the layout of gotch's sources: a definition starts in the first
// column and its last line is a brace in the first column, or it is one line.
func functionAt(lines [][]byte, i int) (function, bool) {
	if i < 0 || i >= len(lines) {
		return function{}, false
	}
	for first := i; first >= 0; first-- {
		m := definition.FindSubmatch(lines[first])
		if m == nil {
			if first < i && bytes.HasPrefix(lines[first], []byte("}")) {
				return function{}, false // between two definitions
			}
			continue
		}
		f := function{name: string(m[1]), void: voidResult.Match(lines[first]), first: first, open: -1}
		for j := first; j < len(lines); j++ {
			if f.open < 0 && bytes.ContainsRune(lines[j], '{') {
				f.open = j
				if braces(lines[j]) == 0 {
					f.last = j
					return f, j >= i
				}
			}
			if f.open < 0 && bytes.ContainsRune(lines[j], ';') {
				return function{}, false // a declaration
			}
			if bytes.HasPrefix(lines[j], []byte("}")) {
				f.last = j
				return f, f.open >= 0 && j >= i
			}
		}
		return function{}, false
	}
	return function{}, false
}

// braces returns how many braces line opens more than it closes.
func braces(line []byte) int {
	return bytes.Count(line, []byte("{")) - bytes.Count(line, []byte("}"))
}

// stubFunctions replaces the bodies of the functions in src that enclose the
// lines (from 1) by one that reports that libtorch has no such function. Line
// numbers stay as they are, so that later errors still mean the same places.
func stubFunctions(src []byte, lines []int) (out []byte, names []string, err error) {
	text := bytes.Split(src, []byte("\n"))
	var found []function // all of them first: a body that is gone has no lines
	for _, line := range lines {
		f, ok := functionAt(text, line-1)
		if !ok {
			return nil, nil, fmt.Errorf("line %d is in no function that could be replaced", line)
		}
		if !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	for _, f := range found {
		names = append(names, f.name)
		head, _, _ := bytes.Cut(text[f.open], []byte("{"))
		body := fmt.Sprintf(`{ PROTECT(throw std::runtime_error("%s is not in this libtorch");)`, f.name)
		if !f.void {
			body += " return {};"
		}
		text[f.open] = slices.Concat(head, []byte(body+" }"))
		clear(text[f.open+1 : f.last+1])
	}
	return bytes.Join(text, []byte("\n")), names, nil
}
