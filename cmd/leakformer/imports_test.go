package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the prefix of our own packages.
const module = "leakformer/"

// allowed lists what each folder may import beside the standard library: our own
// packages by folder, others by the beginning of their path.
var allowed = map[string][]string{
	"ingest/atomicfile":      {},
	"ingest":                 {"github.com/klauspost/compress", "github.com/ulikunitz/xz", "github.com/ianlancetaylor/demangle", "github.com/google/pprof/profile"},
	"ingest/columnar":        {"ingest/atomicfile", "ingest", "github.com/apache/arrow/go/v15", "github.com/google/flatbuffers", "github.com/klauspost/compress"},
	"ingest/ingesttest":      {"ingest"},
	"tokenize":               {"ingest", "github.com/apache/arrow/go/v15"},
	"model":                  {"ingest/atomicfile", "tokenize", "gonum.org/v1/gonum"},
	"model/torch":            {"model", "tokenize", "train", "github.com/sugarme/gotch/libtch"},
	"model/torch/fit":        {},
	"train":                  {"ingest", "tokenize"},
	"detect":                 {"ingest", "tokenize"},
	"detect/report":          {"detect", "ingest", "tokenize", "github.com/google/pprof/profile"},
	"detect/monitor":         {"ingest/atomicfile", "detect", "ingest", "tokenize"},
	"detect/dashboard":       {"detect", "detect/report", "ingest", "tokenize"},
	"detect/store":           {"detect/dashboard", "github.com/redis/go-redis/v9", "modernc.org/sqlite"},
	"detect/store/storetest": {"detect", "detect/dashboard", "ingest"},
	"detect/detecttest":      {"ingest", "tokenize"},
	"eval":                   {"detect", "datasets", "ingest", "tokenize", "gonum.org/v1/gonum"},
	"datasets":               {"ingest/atomicfile", "ingest", "ingest/columnar", "github.com/apache/arrow/go/v15", "github.com/klauspost/compress"},
	"datasets/kernel":        {"datasets", "ingest", "github.com/klauspost/compress"},
	"datasets/kernel/lab":    {"datasets", "datasets/kernel"},
	"cmd/leakformer":         nil, // everything
}

// The map of the house (see doc.go) is what the imports say. Tests may import more.
func TestImports(t *testing.T) {
	files := goFiles(t, "../..")
	for _, f := range files {
		dir := path.Dir(f)
		may, known := allowed[dir]
		switch {
		case strings.HasPrefix(dir, "cmd/leakformer"):
			continue
		case !known:
			t.Errorf("%s: folder %s is not in the table of imports_test.go", f, dir)
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", f), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if imported := strings.Trim(i.Path.Value, `"`); !permits(may, imported) {
				t.Errorf("%s may not import %s", f, imported)
			}
		}
	}
	if len(files) < 50 {
		t.Errorf("only %d files looked at", len(files))
	}
}

func permits(may []string, imported string) bool {
	if own, ok := strings.CutPrefix(imported, module); ok {
		return slices.Contains(may, own)
	}
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") || slices.ContainsFunc(may, func(m string) bool {
		return imported == m || strings.HasPrefix(imported, m+"/")
	})
}

// goFiles lists the Go files below root that are no tests, in slash form.
func goFiles(t *testing.T, root string) (files []string) {
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			rel, err := filepath.Rel(root, p)
			files = append(files, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
