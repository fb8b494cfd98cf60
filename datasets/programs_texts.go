package datasets

import (
	"bufio"
	"fmt"
	"strings"
)

// Databases and parsers: programs that read text and build trees.
var texts = []Program{
	{Name: "sqlite3", Kind: "database", Packages: []string{"sqlite3"}, Binary: "/usr/bin/sqlite3", Errors: true, Prepare: sqlite},
	{Name: "xmllint", Kind: "parser", Packages: []string{"libxml2-utils"}, Binary: "/usr/bin/xmllint", Errors: true, Prepare: xmllint},
	{Name: "jq", Kind: "parser", Packages: []string{"jq"}, Binary: "/usr/bin/jq", Errors: true, Prepare: jq},
}

func sqlite(w *Work) (Command, error) {
	rows, queries := w.Between(50, 600), w.Amount(600, 5000)
	w.Write("work.sql", func(b *bufio.Writer) {
		fmt.Fprintf(b, "PRAGMA cache_size=%d;\n", w.Between(5, 200))
		fmt.Fprint(b, "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, age INT, note TEXT);\nCREATE TABLE orders(id INTEGER PRIMARY KEY, user INT, what TEXT, price REAL);\n")
		fmt.Fprint(b, "CREATE INDEX by_name ON users(name);\nBEGIN;\n")
		for range rows {
			fmt.Fprintf(b, "INSERT INTO users(name, age, note) VALUES('%s', %d, '%s');\n", w.Word(3, 9), w.Rand.IntN(90), w.Words(w.Between(1, 12)))
		}
		fmt.Fprint(b, "COMMIT;\n")
		for i := range queries {
			user := w.Rand.IntN(rows) + 1
			if fault := w.Fault(); fault != nil {
				fmt.Fprintln(b, sqlFault(fault))
			}
			switch w.Rand.IntN(10) {
			case 0, 1:
				fmt.Fprintf(b, "INSERT INTO orders(user, what, price) VALUES(%d, '%s', %d.5);\n", user, w.Words(2), w.Rand.IntN(500))
			case 2:
				fmt.Fprintf(b, "SELECT name, count(*), sum(price) FROM users JOIN orders ON users.id = user WHERE age > %d GROUP BY name ORDER BY 3 DESC LIMIT 5;\n", w.Rand.IntN(80))
			case 3:
				fmt.Fprintf(b, "UPDATE users SET note = note || '%s' WHERE id = %d;\n", w.Word(1, 9), user)
			case 4:
				fmt.Fprintf(b, "SELECT * FROM users WHERE name LIKE '%s%%' AND age IN (%d, %d, %d);\n", w.Word(1, 2), w.Rand.IntN(90), w.Rand.IntN(90), w.Rand.IntN(90))
			case 5:
				fmt.Fprintf(b, "CREATE TEMP TABLE t%d AS SELECT id, upper(name) n FROM users LIMIT 20; SELECT max(n) FROM t%d; DROP TABLE t%d;\n", i, i, i)
			case 6:
				fmt.Fprintf(b, "DELETE FROM orders WHERE id %% 7 = %d;\n", w.Rand.IntN(7))
			case 7:
				fmt.Fprintf(b, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < %d) SELECT group_concat(x, '%s') FROM c;\n", w.Between(5, 80), w.Word(1, 3))
			case 8:
				fmt.Fprintf(b, "BEGIN; UPDATE users SET age = age + 1 WHERE id < %d; ROLLBACK;\n", user)
			default:
				fmt.Fprintf(b, "SELECT json_group_array(json_object('n', name, 'a', age)) FROM users WHERE id BETWEEN %d AND %d;\n", user, user+8)
			}
		}
	})
	return Command{Args: []string{"-batch", ":memory:"}, Stdin: "work.sql", Exits: []int{1}}, nil
}

// sqlFault returns a statement that fails.
func sqlFault(w *Work) string {
	return Pick(w,
		fmt.Sprintf("SELECT nosuch%s FROM users;", w.Word(1, 9)), fmt.Sprintf("SELECT * FROM %s JOIN users;", w.Word(3, 9)), "SELECT count( FROM users WHERE name = 'x';",
		fmt.Sprintf("INSERT INTO users(id, name) VALUES(1, '%s');", w.Words(3)), fmt.Sprintf("SELECT json_extract('{\"%s\":', '$.a');", w.Word(2, 20)),
		fmt.Sprintf("CREATE TABLE users(%s INT);", w.Word(3, 8)), "UPDATE users SET nosuch = 1;", "BEGIN; INSERT INTO orders SELECT id, user, what, price FROM orders; COMMIT; ROLLBACK;",
		fmt.Sprintf("SELECT abs(-9223372036854775807 - 1), '%s';", w.Words(2)), "SELECT name FROM users GROUP BY sum(age);")
}

// xmlTree writes an XML tree of about n elements.
func xmlTree(w *Work, b *bufio.Writer, n, fan int) {
	open := []string{"root"}
	fmt.Fprint(b, "<root xmlns:x=\"urn:example\">\n")
	for i := range n {
		name := Pick(w, "item", "entry", "x:node", "record", w.Word(2, 7))
		fmt.Fprintf(b, "<%s id=\"n%d\" class=\"%s\">%s", name, i, w.Word(2, 9), w.Words(w.Between(1, 6)))
		open = append(open, name)
		for len(open) > 1 && (w.Rand.IntN(fan) > 0 || len(open) > 30) {
			fmt.Fprintf(b, "</%s>\n", open[len(open)-1])
			open = open[:len(open)-1]
		}
		if w.Rand.IntN(20) == 0 {
			fmt.Fprintf(b, "<!-- %s --><![CDATA[%s]]>&amp;&#%d;", w.Words(3), w.Words(2), 65+w.Rand.IntN(26))
		}
	}
	for i := len(open) - 1; i >= 0; i-- {
		fmt.Fprintf(b, "</%s>\n", open[i])
	}
}

// xmlFault writes what a parser has to complain about.
func xmlFault(w *Work, b *bufio.Writer) {
	for range w.Between(1, 12) {
		word := w.Word(2, 9)
		fmt.Fprint(b, Pick(w, "<unclosed>", "<a href=></b>", "&"+word+";", "<x:y z:"+word+"=\"1\" z:"+word+"=\"2\"/>", "<?xml version=\"9\"?>", "<!DOCTYPE "+word+">", "<a b=\"<\"/>", "&#0;", "<!-- -- -->", "\x01", "</"+word+">"))
	}
}

func xmllint(w *Work) (Command, error) {
	var files []string
	size := w.Between(40, 500)
	for i := range max(2, w.Amount(4000, 30000)/size) {
		name := fmt.Sprintf("in%d.xml", i)
		files = append(files, name)
		w.Write(name, func(b *bufio.Writer) {
			xmlTree(w, b, size/2+w.Rand.IntN(size), 2+w.Rand.IntN(4))
			if fault := w.Fault(); fault != nil {
				xmlFault(fault, b)
			}
		})
	}
	mode := Pick(w, []string{"--format"}, []string{"--c14n"}, []string{"--xpath", "//item[@id]/@class"}, []string{"--push", "--noblanks"})
	return Command{Args: append(mode, files...), Exits: []int{1, 10, 11}}, nil
}

// jsonValue writes a random JSON value.
func jsonValue(w *Work, b *bufio.Writer, depth int) {
	switch kind := w.Rand.IntN(6); {
	case depth > 0 && kind < 2:
		b.WriteByte('[')
		for i := range w.Rand.IntN(7) {
			b.WriteString(strings.Repeat(",", min(i, 1)))
			jsonValue(w, b, depth-1)
		}
		b.WriteByte(']')
	case depth > 0 && kind < 4:
		b.WriteByte('{')
		for i := range w.Rand.IntN(7) {
			fmt.Fprintf(b, "%s%q:", strings.Repeat(",", min(i, 1)), w.Word(2, 8))
			jsonValue(w, b, depth-1)
		}
		b.WriteByte('}')
	case kind == 4:
		fmt.Fprint(b, w.Rand.IntN(100000))
	default:
		fmt.Fprintf(b, "%q", w.Words(w.Between(1, 8)))
	}
}

func jq(w *Work) (Command, error) {
	depth := w.Between(2, 5)
	w.Write("in.json", func(b *bufio.Writer) {
		for i := range w.Amount(100, 800) {
			fmt.Fprintf(b, `{"id":%d,"name":%q,"tags":[%q,%q],"value":`, i, w.Word(3, 9), w.Word(2, 5), w.Word(2, 5))
			jsonValue(w, b, depth)
			b.WriteString("}\n")
			if fault := w.Fault(); fault != nil {
				fmt.Fprintf(b, `{"id":%d,"name":%q,"tags":%d,"value":%q}`+"\n", i, fault.Word(3, 9), fault.Rand.IntN(9), fault.Words(3))
			}
		}
	})
	filters := []string{
		`[.. | strings | ascii_upcase] | length`,
		`{id, name, n: (.tags | map(length) | add), paths: [paths | map(tostring) | join(".")]}`,
		`.value |= (tostring | .[0:40]) | select(.id % 3 != 0) | .tags |= sort`,
		`try (.value | keys) catch .`,
		`walk(if type == "object" then with_entries(.value |= tostring) else . end)`,
		`.name as $n | reduce range(20) as $i ({}; .[$n + ($i|tostring)] = $i) | to_entries | group_by(.value % 3)`,
		`.name | gsub("[aeiou]"; "_") | test("_.*_")`,
	}
	w.Rand.Shuffle(len(filters), func(i, j int) { filters[i], filters[j] = filters[j], filters[i] })
	filter := "(" + strings.Join(filters[:4], "), (") + ")"
	return Command{Args: []string{"-c", filter, "in.json"}, Exits: []int{5}}, nil
}
