package ingest

import (
	"bytes"
	"strconv"
)

// parseBccFrames reads a line of a call stack as memleak prints it, innermost first:
//
//	SYM+0xHEX [MODULE]    0xHEX<TAB>SYM+0xHEX [MODULE]    [unknown] [MODULE]
//	I [<HEX>] SYM+0xHEX [FILE:LINE | [MODULE]]    I [<HEX>] [MODULE]    I [<HEX>] <null sym>
//
// Some releases print a stack as Python shows its bytes, in one line:
// b'SYM+0xHEX [MODULE]\n\t\tSYM+0xHEX [MODULE]'.
func parseBccFrames(line []byte) ([]Frame, bool) {
	if n := len(line); n > 3 && line[0] == 'b' && (line[1] == '\'' || line[1] == '"') && line[n-1] == line[1] {
		var frames []Frame
		for part := range bytes.SplitSeq(line[2:n-1], []byte(`\n`)) {
			part = bytes.TrimSpace(bytes.ReplaceAll(part, []byte(`\t`), nil))
			f, ok := parseBccFrame(part)
			if !ok || len(frames) == maxFrames {
				return nil, false
			}
			frames = append(frames, f)
		}
		return frames, true
	}
	if string(line) == "stack information lost" {
		return nil, true
	}
	f, ok := parseBccFrame(line)
	return []Frame{f}, ok
}

const unknownFrame = "[unknown]"

func parseBccFrame(text []byte) (f Frame, ok bool) {
	indexed := false
	if f.Address, text, indexed = cutIndex(text); !indexed {
		f.Address, text = cutAddress(text)
	}
	if string(text) == unknownFrame {
		return f, true
	}
	if at := bytes.LastIndex(text, []byte("[")); at >= 0 && bytes.HasSuffix(text, []byte("]")) && (at == 0 || text[at-1] == ' ') {
		f.Module = string(text[at+1 : len(text)-1])
		text = bytes.TrimSpace(text[:at])
	}
	sym := string(text)
	switch sym {
	case unknownFrame, "<null sym>", "":
		return f, f.Address != 0 || f.Module != "" || sym != ""
	}
	plus := bytes.LastIndex(text, []byte("+0x"))
	if plus <= 0 {
		// Only a name with its module, as old releases print the kernel's.
		f.Function = sym
		return f, f.Module != "" || indexed
	}
	offset, place, placed := bytes.Cut(text[plus+3:], []byte(" "))
	if !isOffset(string(offset)) {
		return f, false
	}
	f.Function = sym[:plus]
	if placed {
		i := bytes.LastIndexByte(place, ':')
		n, err := strconv.ParseInt(string(place[i+1:]), 10, 32)
		if i < 1 || err != nil || n < 0 {
			return f, false
		}
		f.File, f.Line = string(place[:i]), int(n)
	}
	return f, true
}

// cutIndex cuts "I [<HEX>] " off.
func cutIndex(text []byte) (addr uint64, rest []byte, ok bool) {
	_, rest, ok = leadingDigits(text)
	if !ok {
		return 0, text, false
	}
	s := scan{rest: bytes.TrimLeft(rest, " \t")}
	s.lit("[<")
	addr = s.hex()
	s.lit(">]")
	if s.bad {
		return 0, text, false
	}
	return addr, bytes.TrimSpace(s.rest), true
}

// cutAddress cuts "0xHEX<TAB>" off, if it stands there.
func cutAddress(text []byte) (addr uint64, rest []byte) {
	s := scan{rest: text}
	if !s.has("0x") {
		return 0, text
	}
	addr = s.hex()
	if s.bad || len(s.rest) > 0 && s.rest[0] != '\t' && s.rest[0] != ' ' {
		return 0, text
	}
	return addr, bytes.TrimSpace(s.rest)
}
