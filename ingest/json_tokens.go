package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// jsonInput hands the log to a JSON decoder a line at a time, so that the line of
// what was decoded is known, and bounds the size of a token.
type jsonInput struct {
	l      *lines
	size   int  // bytes since the latest token
	inLine bool // the line l.n has begun and not ended
	line   []byte
}

func (in *jsonInput) Read(p []byte) (int, error) {
	if in.size > maxLine+peekSize {
		return 0, errLongToken
	}
	// The decoder looks at blanks anew with each piece that it gets.
	for len(in.line) == 0 {
		line, err := in.l.r.ReadSlice('\n')
		if len(line) == 0 {
			in.l.err = err
			return 0, err
		}
		if !in.inLine {
			in.l.n++
		}
		in.inLine = line[len(line)-1] != '\n'
		if in.l.n == 1 && in.size == 0 && len(line) >= 3 && string(line[:3]) == "\xef\xbb\xbf" {
			line = line[3:]
		}
		if len(bytes.TrimSpace(line)) > 0 {
			in.line = line
		}
	}
	n := copy(p, in.line)
	in.line = in.line[n:]
	in.size += n
	return n, nil
}

// maxNested bounds how deep arrays and objects may stand in one another.
const maxNested = 64

// jsonReader reads a JSON document of any size, token by token.
type jsonReader struct {
	in  *jsonInput
	dec *json.Decoder
}

func newJSONReader(l *lines) jsonReader {
	in := &jsonInput{l: l}
	dec := json.NewDecoder(in)
	dec.UseNumber()
	return jsonReader{in, dec}
}

// token returns the next token.
func (r *jsonReader) token() (json.Token, error) {
	t, err := r.dec.Token()
	r.in.size = 0
	return t, err
}

// object reads an object; f reads the value of a key.
func (r *jsonReader) object(f func(key string) error) error {
	return r.each('{', func() error {
		key, err := r.text()
		if err != nil {
			return err
		}
		return f(key)
	})
}

// array reads an array; f reads an element.
func (r *jsonReader) array(f func() error) error { return r.each('[', f) }

func (r *jsonReader) each(open json.Delim, f func() error) error {
	t, err := r.token()
	if err != nil {
		return err
	}
	if t != open {
		return fmt.Errorf("%v where %v is expected", t, open)
	}
	for r.dec.More() {
		if err := f(); err != nil {
			return err
		}
	}
	_, err = r.token()
	return err
}

// skip passes over a value.
func (r *jsonReader) skip() error {
	depth := 0
	for {
		t, err := r.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxNested {
				return fmt.Errorf("more than %d levels deep", maxNested)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func (r *jsonReader) number() (int64, error) {
	t, err := r.token()
	if err != nil {
		return 0, err
	}
	if n, ok := t.(json.Number); ok {
		return strconv.ParseInt(n.String(), 10, 64)
	}
	return 0, fmt.Errorf("%v where a number is expected", t)
}

func (r *jsonReader) text() (string, error) {
	t, err := r.token()
	if err != nil {
		return "", err
	}
	if s, ok := t.(string); ok {
		return s, nil
	}
	return "", fmt.Errorf("%v where a text is expected", t)
}

func (r *jsonReader) truth() (bool, error) {
	t, err := r.token()
	if err != nil {
		return false, err
	}
	if b, ok := t.(bool); ok {
		return b, nil
	}
	return false, fmt.Errorf("%v where true or false is expected", t)
}
