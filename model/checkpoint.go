package model

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sort"

	"leakformer/ingest/atomicfile"
	"leakformer/tokenize"
)

// checkpointVersion goes up when an old program could not read a new checkpoint, or
// would read less than is in it: 1 had no trees.
const checkpointVersion = 2

// Manifest tells what a checkpoint is and what made it.
type Manifest struct {
	Version int `json:"version"`
	// Made is the version of the program that trained the model.
	Made string `json:"made"`
	// Architecture and VocabHash decide whether weights and sequences fit.
	Architecture Config `json:"architecture"`
	VocabHash    string `json:"vocabulary"`
	Judgings
	// BlockCalibration is for single blocks.
	BlockCalibration Calibration `json:"block_calibration"`
	// Seed, Steps, Threads and Optimiser repeat the training.
	Seed      uint64 `json:"seed"`
	Steps     int    `json:"steps"`
	Threads   int    `json:"threads"`
	Optimiser string `json:"optimiser"`
	// Objectives are the weights of what was learned.
	Objectives json.RawMessage `json:"objectives,omitempty"`
	// Mix says as what runs were shown.
	Mix json.RawMessage `json:"mix,omitempty"`
	// Init is the id of the checkpoint that the training started from; "" for none.
	Init string `json:"init,omitempty"`
	// Data lists the logs that the model learned from, Before those that the models
	// before it did, from which its training started.
	Data   []Datum `json:"data"`
	Before []Datum `json:"before,omitempty"`
	// Validation is what training measured on the runs held out.
	Validation json.RawMessage `json:"validation,omitempty"`
}

// Judging turns the logits of sites into verdicts: into probabilities, and those from
// the threshold on into leaks.
type Judging struct {
	Calibration Calibration `json:"calibration"`
	Threshold   float64     `json:"threshold"`
}

// Judgings are those for all kinds of logs. They were fitted on runs held out from
// training.
type Judgings struct {
	// Judging is for event logs of programs of which clean runs are known.
	Judging
	// Report is for sites of reports, Suspects for those of a leak checker that does
	// not judge what it lists, Series for those of snapshots, Blind for event logs with
	// no clean run to compare with, BlindSeries for snapshots with none, and Ended for
	// event logs that show a run after its teardown.
	Report      Judging `json:"report"`
	Suspects    Judging `json:"suspects,omitzero"`
	Series      Judging `json:"series"`
	Blind       Judging `json:"blind"`
	BlindSeries Judging `json:"blind_series,omitzero"`
	Ended       Judging `json:"ended"`
}

// Of is the judging for a kind of log, and for what it is compared with.
func (j *Judgings) Of(s *tokenize.Scene) Judging {
	blind := s.Reference.Runs() == 0
	switch kind := s.Kind(); {
	case kind == tokenize.KindSeries && blind:
		return cmp.Or(j.BlindSeries, j.Series) // older checkpoints have none
	case kind == tokenize.KindSeries:
		return j.Series
	case kind == tokenize.KindSuspects:
		return cmp.Or(j.Suspects, j.Report)
	case kind == tokenize.KindReport:
		return j.Report
	case blind:
		return j.Blind
	case s.Ended():
		return j.Ended
	}
	return j.Judging
}

// Datum is one log of the training data.
type Datum struct {
	Log     string `json:"log"`
	Program string `json:"program"`
	Events  uint32 `json:"events"`
	// Trace is the hash of the log's contents, see datasets.TraceHash; "" if it has
	// no events, or the checkpoint is older than this field.
	Trace string `json:"trace,omitempty"`
	// Labelled says that its leaks were known.
	Labelled bool `json:"labelled,omitempty"`
}

// Calibration turns a logit z into the probability 1/(1+exp(-(A z + B))).
type Calibration struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}

// LogOdds of a logit: the log of p/(1-p) of its probability p.
func (c Calibration) LogOdds(logit float64) float64 { return c.A*logit + c.B }

// Probability of a logit.
func (c Calibration) Probability(logit float64) float64 {
	return 1 / (1 + math.Exp(-c.LogOdds(logit)))
}

// Checkpoint is a trained model: a zip file of a manifest in JSON, the weights of the
// network, the trees that judge sites beside it, and the histories of the clean runs
// that it learned from, with which it compares new runs of the same programs.
type Checkpoint struct {
	Manifest Manifest
	Weights  []byte
	// Trees are nil where the network judges alone.
	Trees     *Trees
	Histories []*tokenize.History
}

// The members of the zip file.
const (
	manifestName  = "manifest.json"
	weightsName   = "weights.safetensors"
	treesName     = "trees.json"
	historiesName = "histories.gob"
)

// maxMember bounds what a member of a checkpoint may unpack to.
const maxMember = 1 << 30

// MismatchError says that a checkpoint does not fit this program.
type MismatchError struct{ File, Msg string }

func (e *MismatchError) Error() string {
	return e.File + ": " + e.Msg + "; train it again with this version"
}

// Read reads a checkpoint and refuses one that does not fit this program.
func Read(path string) (*Checkpoint, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Decode(path, data)
}

// Decode is Read for a checkpoint in memory; the name is for messages.
func Decode(name string, data []byte) (*Checkpoint, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: not a leakformer model (%w)", name, err)
	}
	a := archive{name, z}
	c := &Checkpoint{}
	text, err := a.member(manifestName)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &c.Manifest); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", name, manifestName, err)
	}
	if err := c.Manifest.fits(name); err != nil {
		return nil, err
	}
	if c.Weights, err = a.member(weightsName); err != nil {
		return nil, err
	}
	if c.Trees, err = a.trees(); err != nil {
		return nil, err
	}
	packed, err := a.member(historiesName)
	if err != nil {
		return nil, err
	}
	if c.Histories, err = unpackHistories(packed); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", name, historiesName, err)
	}
	return c, nil
}

// archive is a checkpoint's file, with its name for messages.
type archive struct {
	name string
	zip  *zip.Reader
}

func (a archive) member(name string) ([]byte, error) {
	f, err := a.zip.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: not a leakformer model: no %s in it", a.name, name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMember+1))
	if err == nil && len(b) > maxMember {
		err = errors.New("too large")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", a.name, name, err)
	}
	return b, nil
}

// trees are nil where the checkpoint has none.
func (a archive) trees() (*Trees, error) {
	if _, err := fs.Stat(a.zip, treesName); err != nil {
		return nil, nil
	}
	data, err := a.member(treesName)
	if err != nil {
		return nil, err
	}
	t, err := decodeTrees(data)
	if errors.Is(err, errOtherFeatures) {
		return nil, &MismatchError{a.name, err.Error()}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", a.name, treesName, err)
	}
	return t, nil
}

// fits checks that sequences of this program mean to the model what they meant in
// training.
func (m *Manifest) fits(file string) error {
	switch {
	case m.Version < 1 || m.Version > checkpointVersion:
		return &MismatchError{file, fmt.Sprintf("checkpoint version %d, this program has %d", m.Version, checkpointVersion)}
	case m.VocabHash != tokenize.VocabHash:
		return &MismatchError{file, fmt.Sprintf("trained for vocabulary %s, this program has %s", m.VocabHash, tokenize.VocabHash)}
	case m.Architecture.Vocab != tokenize.VocabSize || m.Architecture.Fields != tokenize.Fields:
		return &MismatchError{file, fmt.Sprintf("trained for %d token ids, %d a position; this program has %d and %d",
			m.Architecture.Vocab, m.Architecture.Fields, tokenize.VocabSize, tokenize.Fields)}
	}
	if err := m.Architecture.Validate(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if !(m.Threshold >= 0 && m.Threshold <= 1) {
		return fmt.Errorf("%s: threshold %v is no probability", file, m.Threshold)
	}
	return nil
}

// ID names what judges: checkpoints with other weights or trees have another.
func (c *Checkpoint) ID() string {
	sum := sha256.New()
	sum.Write(c.Weights)
	if c.Trees != nil {
		trees, _ := c.Trees.Encode() // to memory: nothing to go wrong
		sum.Write(trees)
	}
	return hex.EncodeToString(sum.Sum(nil)[:4])
}

// Encode returns the checkpoint as a file's content. Equal checkpoints give equal
// bytes.
func (c *Checkpoint) Encode() ([]byte, error) {
	c.Manifest.Version = checkpointVersion
	c.Manifest.VocabHash = tokenize.VocabHash
	text, err := manifestText(&c.Manifest)
	if err != nil {
		return nil, err
	}
	return c.zipped(text)
}

func manifestText(m *Manifest) ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	return append(text, '\n'), err
}

// zipped packs the checkpoint with its manifest as text.
func (c *Checkpoint) zipped(manifest []byte) ([]byte, error) {
	histories, err := packHistories(c.Histories)
	if err != nil {
		return nil, err
	}
	type member struct {
		name string
		data []byte
	}
	members := []member{{manifestName, manifest}, {weightsName, c.Weights}, {historiesName, histories}}
	if c.Trees != nil {
		trees, err := c.Trees.Encode()
		if err != nil {
			return nil, err
		}
		members = append(members, member{treesName, trees})
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range members {
		w, err := z.Create(m.name)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(m.data); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Write writes the checkpoint to a file. What was there before is replaced only
// when all is written.
func (c *Checkpoint) Write(path string) error {
	data, err := c.Encode()
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, data)
}

// packed is a History with its maps in order, so that equal ones give equal bytes.
type packed struct {
	Program      string
	Runs         int
	Events       uint32
	Sites, Names []packedProfile
}

type packedProfile struct {
	Key     tokenize.Key
	Profile tokenize.Profile
}

func packHistories(hs []*tokenize.History) ([]byte, error) {
	all := make([]packed, len(hs))
	for i, h := range hs {
		all[i] = packed{h.Program, h.Runs, h.Events, packProfiles(h.Sites), packProfiles(h.Names)}
	}
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(all)
	return out.Bytes(), err
}

func packProfiles(m map[tokenize.Key]*tokenize.Profile) []packedProfile {
	out := make([]packedProfile, 0, len(m))
	for k, p := range m {
		out = append(out, packedProfile{k, *p})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out
}

func unpackHistories(data []byte) ([]*tokenize.History, error) {
	var all []packed
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&all); err != nil {
		return nil, err
	}
	hs := make([]*tokenize.History, len(all))
	for i := range all {
		p := &all[i]
		hs[i] = &tokenize.History{Program: p.Program, Runs: p.Runs, Events: p.Events,
			Sites: unpackProfiles(p.Sites), Names: unpackProfiles(p.Names)}
	}
	return hs, nil
}

func unpackProfiles(ps []packedProfile) map[tokenize.Key]*tokenize.Profile {
	m := make(map[tokenize.Key]*tokenize.Profile, len(ps))
	for i := range ps {
		m[ps[i].Key] = &ps[i].Profile
	}
	return m
}
