package ingest

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// xmlText is what a document says, as ours and as encoding/xml reads it: tags and the
// text between them, one token a line.
func xmlText(doc []byte) (string, error) {
	x := &xmlReader{l: newLines(bytes.NewReader(doc)), names: map[string]string{}}
	var b strings.Builder
	for {
		t, err := x.next()
		switch {
		case err != nil && x.l.err == io.EOF:
			return b.String(), nil
		case err != nil:
			return "", err
		case t.name == "":
			b.Write(t.text)
		case t.closes:
			b.WriteString("\x00/" + t.name + "\x00")
		default:
			b.WriteString("\x00" + t.name + "\x00")
		}
	}
}

func peerText(doc []byte) (string, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var b strings.Builder
	for {
		t, err := d.RawToken()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(t.Attr) > 0 {
				return "", io.ErrNoProgress // Valgrind writes none
			}
			b.WriteString("\x00" + t.Name.Local + "\x00")
		case xml.EndElement:
			b.WriteString("\x00/" + t.Name.Local + "\x00")
		case xml.CharData:
			b.Write(t)
		case xml.Directive:
			return "", io.ErrNoProgress // nor of these
		}
	}
}

// What encoding/xml reads without an error we read, and as it does.
func FuzzXMLBesidePeer(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "memcheck-xml", "*.xml"))
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no seeds")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 3000)])
	}
	for _, s := range []string{"<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&nosuch;&</a>", "<a/>x<b />y<!-- <c> - > -->z<?p q?>", "<a><![CDATA[<b>&amp;]]></a>\r\n", "<p:a\n></p:a\t><A:></A:>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		want, err := peerText(doc)
		if err != nil {
			return
		}
		if got, err := xmlText(doc); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", doc, got, err, want)
		}
	})
}
