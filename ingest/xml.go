package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// xmlReader cuts XML as Valgrind writes it into tokens: elements, which have no
// attributes that matter, and text. It bounds the size of a token, knows the line of
// each, and takes text as it comes: symbols hold any bytes.
type xmlReader struct {
	l      *lines
	inLine bool // the line l.n has begun and not ended
	// tag is what stands between < and > of the tag that comes next, where it was
	// read already.
	tag   []byte
	buf   []byte // the token being read
	clean []byte // scratch for plain
	// names are those of the elements so far: each is made a string once.
	names map[string]string
}

// An xmlToken is text, or a tag where it has a name; the text is good until the next.
type xmlToken struct {
	text   []byte
	name   string // without a prefix
	closes bool
}

// maxNames bounds the names of elements that are kept as strings.
const maxNames = 1000

var errLongToken = fmt.Errorf("an element or text longer than %d bytes", maxLine)

// next returns the next token. After an error that is not the end of the input, which
// is in x.l.err, reading goes on behind what was wrong.
func (x *xmlReader) next() (xmlToken, error) {
	for x.tag == nil {
		x.buf = x.buf[:0]
		stop, err := x.upTo('<')
		if len(x.buf) > 0 && err != errLongToken {
			return xmlToken{text: x.plain(x.buf)}, nil
		}
		if err == nil {
			x.skip(1)
			stop, err = x.upTo('>')
		}
		var text []byte
		switch {
		case err != nil:
		case len(x.buf) > 0 && (x.buf[0] == '!' || x.buf[0] == '?'):
			text, err = x.markup(stop)
		case stop == '<':
			x.begin()
			err = x.unended()
		default:
			x.skip(1)
			x.tag = append(x.buf, 0)[:len(x.buf)] // not nil, though it be empty
		}
		if err != nil || text != nil {
			return xmlToken{text: text}, err
		}
	}
	tag := x.tag
	x.tag = nil
	return x.element(tag)
}

// markup reads to the end of a tag that is no element: only a CDATA section has text.
func (x *xmlReader) markup(stop byte) (text []byte, err error) {
	least, end := 1, ""
	cdata := bytes.HasPrefix(x.buf, []byte("![CDATA["))
	switch {
	case bytes.HasPrefix(x.buf, []byte("!--")):
		least, end = len("!----"), "--"
	case cdata:
		least, end = len("![CDATA[]]"), "]]"
	case x.buf[0] == '?':
		least, end = len("??"), "?"
	}
	for stop != '>' || len(x.buf) < least || !bytes.HasSuffix(x.buf, []byte(end)) {
		x.take(1)
		if stop, err = x.upTo('>'); err != nil {
			return nil, err
		}
	}
	x.skip(1)
	if cdata {
		text = bytes.ToValidUTF8(x.buf[len("![CDATA["):len(x.buf)-len("]]")], []byte("\ufffd"))
	}
	return text, nil
}

// unended says what is wrong with a tag in which another one begins.
func (x *xmlReader) unended() error {
	if name, closes := bytes.CutPrefix(bytes.TrimSpace(x.buf), []byte("/")); closes {
		return fmt.Errorf("invalid characters between </%s and >", clip(name))
	}
	return fmt.Errorf("<%s is not closed", clip(bytes.TrimSpace(x.buf)))
}

// element makes a token of a tag.
func (x *xmlReader) element(tag []byte) (xmlToken, error) {
	name, closes := bytes.CutPrefix(tag, []byte("/"))
	if known, ok := x.names[string(name)]; ok { // as nearly all are
		return xmlToken{name: known, closes: closes}, nil
	}
	var rest []byte
	if i := bytes.IndexAny(name, " \t\r\n/"); i >= 0 {
		name, rest = name[:i], bytes.TrimSpace(name[i:])
	}
	switch {
	case len(name) == 0 || bytes.IndexByte([]byte("-.0123456789?!=\"'&"), name[0]) >= 0:
		return xmlToken{}, errors.New("expected element name after <")
	case closes && len(rest) > 0:
		return xmlToken{}, fmt.Errorf("invalid characters between </%s and >", clip(name))
	}
	if prefix, local, _ := bytes.Cut(name, []byte(":")); len(prefix) > 0 && len(local) > 0 {
		name = local
	}
	t := xmlToken{name: string(name), closes: closes}
	if len(x.names) < maxNames {
		x.names[t.name] = t.name
	}
	if bytes.HasSuffix(rest, []byte("/")) {
		x.tag = []byte("/" + t.name)
	}
	return t, nil
}

// upTo reads into x.buf up to a byte or, before that, a <; it returns which of the two
// it is, and leaves it.
func (x *xmlReader) upTo(end byte) (byte, error) {
	for {
		n := 0
		for n < len(x.l.ahead) && x.l.ahead[n] != end && x.l.ahead[n] != '<' {
			n++
		}
		x.take(n)
		switch {
		case len(x.buf) > maxLine:
			return 0, errLongToken
		case len(x.l.ahead) > 0:
			return x.l.ahead[0], nil
		case !x.l.fill():
			return 0, x.l.err
		}
	}
}

// take moves n bytes into x.buf.
func (x *xmlReader) take(n int) {
	x.buf = append(x.buf, x.l.ahead[:n]...)
	x.skip(n)
}

// skip passes over n bytes and counts lines.
func (x *xmlReader) skip(n int) {
	if n == 0 {
		return
	}
	x.begin()
	part := x.l.ahead[:n]
	x.l.ahead = x.l.ahead[n:]
	x.l.n += int64(bytes.Count(part, []byte("\n")))
	x.inLine = part[n-1] != '\n'
	if !x.inLine {
		x.l.n--
	}
}

// begin counts the line on which the next byte stands.
func (x *xmlReader) begin() {
	if !x.inLine {
		x.l.n++
		x.inLine = true
	}
}

// skipTo drops bytes up to a tag, which then comes next.
func (x *xmlReader) skipTo(tag string) bool {
	x.tag = nil
	matched := 0
	for {
		if len(x.l.ahead) == 0 && !x.l.fill() {
			return false
		}
		b := x.l.ahead[0]
		x.skip(1)
		// A tag holds '<' only at its start, so a mismatch begins anew.
		switch {
		case b == tag[matched]:
			matched++
		case b == '<':
			matched = 1
		default:
			matched = 0
		}
		if matched == len(tag) {
			x.tag = []byte(tag[1 : len(tag)-1])
			return true
		}
	}
}

// plain is text without escapes, and with replacements for what XML does not allow.
func (x *xmlReader) plain(text []byte) []byte {
	odd := func(b byte) bool { return b == '&' || b >= utf8.RuneSelf || b < ' ' && b != '\n' && b != '\t' }
	i := 0
	for i < len(text) && !odd(text[i]) {
		i++
	}
	if i == len(text) {
		return text
	}
	out := append(x.clean[:0], text[:i]...)
	for i < len(text) {
		c, n := utf8.DecodeRune(text[i:])
		switch {
		case c == '&':
			if c, n = escaped(text[i:]); n == 0 {
				c, n = '&', 1
			}
		case c == '\r':
			c = '\n'
			if bytes.HasPrefix(text[i+1:], []byte("\n")) {
				n = 2
			}
		case c < ' ' && c != '\n' && c != '\t':
			c = '?'
		case c == '\ufffe' || c == '\uffff':
			c = utf8.RuneError
		}
		out = utf8.AppendRune(out, c)
		i += n
	}
	x.clean = out
	return out
}

// escaped is the rune for the escape that text begins with, and the escape's length;
// 0 where it is none.
func escaped(text []byte) (c rune, n int) {
	n = bytes.IndexByte(text[:min(len(text), 12)], ';') + 1
	if n == 0 {
		return 0, 0
	}
	name := string(text[1 : n-1])
	if digits, ok := strings.CutPrefix(name, "#"); ok {
		base := 10
		if hex, ok := strings.CutPrefix(digits, "x"); ok {
			digits, base = hex, 16
		}
		code, err := strconv.ParseUint(digits, base, 31)
		if c = rune(code); err != nil || !utf8.ValidRune(c) || c < ' ' && c != '\n' && c != '\t' && c != '\r' {
			return 0, 0
		}
		return c, n
	}
	if c = entities[name]; c == 0 {
		return 0, 0
	}
	return c, n
}

// entities are the escapes that have a name.
var entities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"', "apos": '\''}
