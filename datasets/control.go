package datasets

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// The control file of the preload library, see forget/forget.h: both sides
// know its layout, word by word.
const (
	controlMagic  = 0x3130544547524f46
	controlHeader = 16 // words
	pathWords     = 16
	dropWords     = 4
	maxDepth      = 8

	markerSpan = 65536 // marker sizes: marker .. marker+markerSpan-1
)

const (
	modeCount = 1
	modeDrop  = 2
)

// Header words.
const (
	wMagic = iota
	wMode
	wDepth
	wPaths
	wDrops
	wMarker
	wSeed
	wOwner
	wTotal
	wUsed
	wUnseen
	wDropped
	wRefused
	wPhase
)

// Phases of a run whose container grows, see forget/forget.h.
const (
	phaseWork = iota
	phaseCut
	phaseEmpty
)

// kindPhase is the kind of a drop record that is none: a phase begins there.
const kindPhase = 3

// Defaults of the control file. 12 MB on disk, sparse where not used.
const (
	pathSlots   = 1 << 16
	dropSlots   = 1 << 17
	pathDepth   = 6
	markerBytes = 0x3a5b000 // 61 MB: above 32 MB, or freeing it would move malloc's mmap threshold
)

// control is the contents of a control file.
type control struct {
	header [controlHeader]uint64
	paths  []freePath   // slot by slot; Hash 0: not in use
	drops  []dropRecord // those made
	folder string       // the collector's own, not in the file
}

// buildFolder is what logs have in place of the collector's own folder, where
// programs of ours are compiled: its name changes from collection to collection.
const buildFolder = "/build"

// anonymous returns the line without the name of the collector's folder.
func (c *control) anonymous(line []byte) []byte {
	if c.folder == "" {
		return line
	}
	return bytes.ReplaceAll(line, []byte(c.folder), []byte(buildFolder))
}

// freePath is a call path of free, and what to do with its frees.
type freePath struct {
	Hash    uint64
	Frees   uint64
	Share   uint64 // in 2^-32
	From    uint64
	Until   uint64
	After   uint64
	Dropped uint64
	First   uint64 // frees of the whole process up to the path's first
	Frames  [maxDepth]uint64
}

// dropRecord is a block whose free was forgotten, or that was marked.
type dropRecord struct {
	Address uint64 // inverted in the file
	Usable  uint64
	Path    uint64 // for kindPhase: the phase
	Kind    uint64
}

var leakKinds = []LeakKind{Forgotten, Lost, Growth} // by dropRecord.Kind

// newControl returns an empty control file for a run that drops nothing.
func newControl(mode, seed uint64) *control {
	c := &control{paths: make([]freePath, pathSlots)}
	c.header[wMagic], c.header[wMode], c.header[wDepth] = controlMagic, mode, pathDepth
	c.header[wPaths], c.header[wDrops] = pathSlots, dropSlots
	c.header[wMarker], c.header[wSeed] = markerBytes, seed
	return c
}

// write creates the file with room for all drops.
func (c *control) write(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := binary.Write(f, binary.NativeEndian, c.header); err != nil {
		return err
	}
	if err := binary.Write(f, binary.NativeEndian, c.paths); err != nil {
		return err
	}
	size := 8 * (controlHeader + pathWords*len(c.paths) + dropWords*int(c.header[wDrops]))
	if err := f.Truncate(int64(size)); err != nil {
		return err
	}
	return f.Close()
}

// readControl reads what the traced process left in the file.
func readControl(name string) (*control, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := new(control)
	if err := binary.Read(f, binary.NativeEndian, &c.header); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if c.header[wMagic] != controlMagic || c.header[wPaths] > 1<<24 || c.header[wDropped] > c.header[wDrops] {
		return nil, fmt.Errorf("%s: not a control file, or overwritten by the traced program", name)
	}
	c.paths = make([]freePath, c.header[wPaths])
	c.drops = make([]dropRecord, c.header[wDropped])
	if err := binary.Read(f, binary.NativeEndian, c.paths); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := binary.Read(f, binary.NativeEndian, c.drops); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i := range c.drops {
		c.drops[i].Address = ^c.drops[i].Address
	}
	return c, nil
}

// used returns the paths that were seen, in slot order.
func (c *control) used() []freePath {
	var used []freePath
	for _, p := range c.paths {
		if p.Hash != 0 {
			used = append(used, p)
		}
	}
	return used
}

// insert puts a path where the library will look for it.
func (c *control) insert(p freePath) {
	for i := p.Hash; ; i++ {
		slot := &c.paths[i&(c.header[wPaths]-1)]
		if slot.Hash == 0 {
			*slot = p
			c.header[wUsed]++
			return
		}
	}
}
