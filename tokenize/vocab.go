package tokenize

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"strings"
)

// Version of the vocabulary and of what the tokens mean. It goes up with every
// change that makes an old model misread new sequences.
const Version = 2

// Fields is how many token ids a position has. A position is read as the sum of
// its tokens' embeddings; id 0 stands for "nothing here".
const Fields = 20

// field is one property that a position can have, told in a number of bins.
type field struct {
	name string
	bins int
}

// The sizes of the kinds of bins.
const (
	logBins      = 32 // powers of two
	shareBins    = 9  // 0, to 1/64, 1/16, 1/4, 1/2, 3/4, 15/16, under 1, 1
	ratioBins    = 19 // half-octaves from 1/16 to 16, and both sides of division by 0
	surpriseBins = 13 // -log2 of a probability, up to 2^-12
	zBins        = 14
	placeBins    = 16 // sixteenths of the run
	wordBins     = 1024
	changeBins   = 14 // of a quantity from one look to the next; see changeBin
)

// The vocabulary: every field of every kind of position, in the order of their
// ids. Fields that several kinds share mean the same in each.
var fields = [...]field{
	fKind:  {"kind", int(numKinds)},
	fClass: {"class", 3},
	// the site
	fAllocs:       {"allocs", logBins},
	fLive:         {"live", logBins},
	fBytes:        {"live bytes", 2 * logBins},
	fEvents:       {"events", logBins},
	fLiveShare:    {"live of allocs", shareBins},
	fLiveOfPeak:   {"live of peak", shareBins},
	fFirst:        {"place of first birth", placeBins},
	fLast:         {"place of last birth", placeBins},
	fOldest:       {"place of oldest live", placeBins},
	fNewest:       {"place of newest live", placeBins},
	fQuiet:        {"run since last birth", shareBins},
	fLateLive:     {"live of the later half of births", shareBins},
	fEarlyLive:    {"live of the earlier half of births", shareBins},
	fOldestDead:   {"dead of those born after the oldest live", shareBins},
	fMatch:        {"match", 4},
	fRefRuns:      {"clean runs", logBins},
	fRefSeen:      {"clean runs with the site", shareBins},
	fRefAllocs:    {"allocs over clean", ratioBins},
	fRefPeak:      {"live over clean peak", ratioBins},
	fRefMoment:    {"live over clean at this moment", ratioBins},
	fRefLeft:      {"live over left in clean", ratioBins},
	fRefLeftShare: {"left of allocs in clean", shareBins},
	fRefExit:      {"freed at exit in clean", shareBins},
	fRefExpect:    {"live over expected", ratioBins},
	fRefZ:         {"live beyond expected", zBins},
	fRefLongZ:     {"live beyond the longest run", zBins},
	fRefSize:      {"size in clean range", 3},
	fRefLength:    {"events over clean", ratioBins},
	fRefWidows:    {"widowed beyond expected", zBins},
	fRefWidow:     {"greatest surprise beside dead partners", surpriseBins},
	fOwnWidows:    {"greatest surprise beside dead partners, by siblings", surpriseBins},
	// the call stack
	fDepth:  {"depth of frame", siteFrames},
	fModule: {"module", 256},
	fWord:   {"word of function", wordBins},
	// the curve of ages
	fAge:       {"age", ages},
	fOld:       {"live of this age", logBins},
	fOldShare:  {"live of born before", shareBins},
	fOldFreed:  {"freed at this age or later", logBins},
	fOldRef:    {"live over clean at this age", ratioBins},
	fOldExpect: {"live over expected at this age", ratioBins},
	fOldZ:      {"live beyond expected at this age", zBins},
	fOldRefMax: {"clean live of this age", logBins},
	// blocks
	fSize:      {"size", 2 * logBins},
	fCount:     {"count", logBins},
	fKin:       {"freed of this size", 3},
	fBorn:      {"place of birth", placeBins},
	fLife:      {"lifetime or age", lifeBins},
	fOverOwn:   {"age over longest lifetime", ratioBins},
	fOverRef:   {"age over longest clean lifetime", ratioBins},
	fOverAge:   {"age over longest clean age", ratioBins},
	fOwn:       {"surprise by siblings", surpriseBins},
	fRef:       {"surprise by clean runs", surpriseBins},
	fMates:     {"neighbours dead", 4},
	fAround:    {"neighbourhood alive", shareBins},
	fOutlived:  {"outlived a neighbour by", lifeBins},
	fOutRef:    {"surprise at outliving", surpriseBins},
	fLaterDead: {"later siblings dead", shareBins},
	fGap:       {"births since sibling", logBins},
	fWidow:     {"surprise beside dead partners, by clean runs", surpriseBins},
	fLongWidow: {"surprise beside partners long dead, by clean runs", surpriseBins},
	fOwnWidow:  {"surprise beside dead partners, by siblings", surpriseBins},
	fScans:     {"scans", 8},
	// series of snapshots
	fRefBytes:    {"live bytes over clean peak", ratioBins},
	fSnapshots:   {"snapshots", logBins},
	fSeen:        {"snapshots with the site", shareBins},
	fRose:        {"steps that rose", shareBins},
	fFell:        {"steps that fell", shareBins},
	fLine:        {"fit of a rising line", shareBins},
	fGrown:       {"bytes over the first", ratioBins},
	fLateGrown:   {"change in the later half", changeBins},
	fWholeGrown:  {"bytes of all sites over the first", ratioBins},
	fLook:        {"place of snapshot", placeBins},
	fChange:      {"change of bytes", changeBins},
	fBlockChange: {"change of blocks", changeBins},
	fWholeChange: {"change of all bytes", changeBins},
	fOfMost:      {"bytes of the most so far", shareBins},
	fOfWhole:     {"bytes of all", shareBins},
	fRefLook:     {"bytes over clean peak, then", ratioBins},
}

// The fields, as indexes into the vocabulary.
const (
	fKind = iota
	fClass
	fAllocs
	fLive
	fBytes
	fEvents
	fLiveShare
	fLiveOfPeak
	fFirst
	fLast
	fOldest
	fNewest
	fQuiet
	fLateLive
	fEarlyLive
	fOldestDead
	fMatch
	fRefRuns
	fRefSeen
	fRefAllocs
	fRefPeak
	fRefMoment
	fRefLeft
	fRefLeftShare
	fRefExit
	fRefExpect
	fRefZ
	fRefLongZ
	fRefSize
	fRefLength
	fRefWidows
	fRefWidow
	fOwnWidows
	fDepth
	fModule
	fWord
	fAge
	fOld
	fOldShare
	fOldFreed
	fOldRef
	fOldExpect
	fOldZ
	fOldRefMax
	fSize
	fCount
	fKin
	fBorn
	fLife
	fOverOwn
	fOverRef
	fOverAge
	fOwn
	fRef
	fMates
	fAround
	fOutlived
	fOutRef
	fLaterDead
	fGap
	fWidow
	fLongWidow
	fOwnWidow
	fScans
	fRefBytes
	fSnapshots
	fSeen
	fRose
	fFell
	fLine
	fGrown
	fLateGrown
	fWholeGrown
	fLook
	fChange
	fBlockChange
	fWholeChange
	fOfMost
	fOfWhole
	fRefLook
)

// kind of a position.
type kind int32

const (
	kindSite kind = iota
	kindReference
	kindFrame
	kindAge
	kindFreed
	kindLive
	kindReported // an outstanding entry that the log does not judge
	kindDefinite
	kindIndirect
	kindPossible
	kindReachable
	kindUnreferenced
	kindLook
	numKinds
)

// starts[f] is the id of field f's first bin.
var starts = func() (s [len(fields) + 1]int32) {
	s[0] = 1
	for i, f := range fields {
		s[i+1] = s[i] + int32(f.bins)
	}
	return s
}()

// VocabSize is the number of token ids, 0 included.
var VocabSize = int(starts[len(fields)])

// VocabHash names the vocabulary: equal hashes, equal meaning of all ids.
var VocabHash = func() string {
	var b strings.Builder
	fmt.Fprintf(&b, "leakformer vocabulary %d, %d fields a position\n", Version, Fields)
	for i, f := range fields {
		fmt.Fprintf(&b, "%d %s %d\n", starts[i], f.name, f.bins)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}()

// token is the id of a field's bin; a bin out of range is the nearest one.
func token(f, bin int) int32 {
	return starts[f] + int32(min(max(bin, 0), fields[f].bins-1))
}

// Describe says what a token id means, for people.
func Describe(id int32) string {
	if id == 0 {
		return "-"
	}
	for f := len(fields) - 1; f >= 0; f-- {
		if id >= starts[f] && id < starts[f+1] {
			return fmt.Sprintf("%s=%d", fields[f].name, id-starts[f])
		}
	}
	return fmt.Sprintf("invalid id %d", id)
}

// logBin is 0 for 0, 1 for 1, 2 for 2-3, 3 for 4-7, ...
func logBin(n int64) int { return bits.Len64(uint64(max(n, 0))) }

// halfLogBin has two bins to an octave.
func halfLogBin(n int64) int {
	if n < 4 {
		return int(max(n, 0))
	}
	k := bits.Len64(uint64(n))
	return 2*k - 2 + int(n>>(k-2)&1)
}

// shareBin puts n of d into shareBins bins that are finer towards none and all.
func shareBin(n, d float64) int {
	switch s := n / d; {
	case d <= 0 || n <= 0:
		return 0
	case s <= 1./64:
		return 1
	case s <= 1./16:
		return 2
	case s <= 1./4:
		return 3
	case s <= 1./2:
		return 4
	case s <= 3./4:
		return 5
	case s <= 15./16:
		return 6
	case s < 1:
		return 7
	}
	return 8
}

// ratioBin puts n/d into half-octaves around 1; the first bin is n = 0, the last
// d = 0.
func ratioBin(n, d float64) int {
	switch {
	case n <= 0:
		return 0
	case d <= 0:
		return ratioBins - 1
	}
	return 1 + min(max(int(math.Floor(2*math.Log2(n/d)+0.5))+8, 0), ratioBins-3)
}

var changeEdges = [...]float64{-0.5, -0.2, -0.05, -0.02, -0.005, 0, 0.005, 0.02, 0.05, 0.2, 1}

// changeBin tells how a quantity changed, relative to what it was: seven bins are
// for none or less, the last is for growth from nothing.
func changeBin(from, to float64) int {
	switch {
	case from == to:
		return 6
	case from <= 0:
		return changeBins - 1
	}
	c := (to - from) / from
	i := 0
	for i < len(changeEdges) && c > changeEdges[i] {
		i++
	}
	if c > 0 {
		i++ // behind the bin of no change
	}
	return i
}

func surpriseBin(p float64) int {
	return min(int(-math.Log2(max(p, 1e-9))), surpriseBins-1)
}

var zEdges = [zBins - 1]float64{-3, -1.5, -0.5, 0.5, 1, 1.5, 2.5, 4, 6, 10, 20, 50, 150}

// zBin tells how far a count lies above or below what was expected, in standard
// deviations of a Poisson count (plus one, so that small counts stay small).
func zBin(got, expected float64) int {
	z := (got - expected) / math.Sqrt(expected+1)
	i := 0
	for i < len(zEdges) && z > zEdges[i] {
		i++
	}
	return i
}

// placeBin is the sixteenth of the run in which an event lies.
func placeBin(seq, cut uint32) int {
	return int(uint64(seq) * placeBins / uint64(max(cut, 1)))
}

func hashBin(s string, n uint32) int {
	h := fnv.New32a()
	h.Write([]byte(s))
	return int(h.Sum32() % n)
}

// words cuts a function's name into lower-case words: "xmlNewNode_2" is xml, new,
// node. Digits are dropped.
func words(name string) []string {
	var ws []string
	start := -1
	for i := 0; i <= len(name); i++ {
		var c byte
		if i < len(name) {
			c = name[i]
		}
		upper := c >= 'A' && c <= 'Z'
		letter := upper || c >= 'a' && c <= 'z'
		camel := upper && start >= 0 && name[i-1] >= 'a'
		if start >= 0 && (!letter || camel) {
			ws = append(ws, strings.ToLower(name[start:i]))
			start = -1
		}
		if letter && start < 0 {
			start = i
		}
	}
	return ws
}
