package tokenize

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRecordsRoundTrip(t *testing.T) {
	run := mustLoad(t, randomLog(21, 9000))
	var want []Record
	for cut := uint32(1000); cut <= 9000; cut += 20 {
		(&Scene{Run: run, Cut: cut}).Views(func(v *View) bool {
			want = append(want, NewRecord(v))
			return true
		})
	}
	var b bytes.Buffer
	n, err := WriteRecords(&b, slices.Values(want))
	if err != nil || n != len(want) || n <= batchRows {
		t.Fatalf("%d of %d rows written: %v", n, len(want), err)
	}
	i := 0
	for got, err := range ReadRecords(bytes.NewReader(b.Bytes())) {
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want[i]) {
			t.Fatalf("row %d differs:\n%+v\n%+v", i, got, want[i])
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d of %d rows read", i, len(want))
	}
	t.Logf("%.1f bytes a position", float64(b.Len())/float64(positions(want)))

	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"text", []byte("no Arrow at all, but text that is long enough"), "not a file of sequences"},
		{"empty", nil, "not a file of sequences"},
		{"cut off", b.Bytes()[:b.Len()*2/3], "damaged"},
	} {
		err := lastError(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func positions(rs []Record) (n int) {
	for _, r := range rs {
		n += len(r.Live)
	}
	return n
}

func lastError(data []byte) (last error) {
	for _, err := range ReadRecords(bytes.NewReader(data)) {
		last = err
	}
	return last
}

func TestNoRecords(t *testing.T) {
	var b bytes.Buffer
	if n, err := WriteRecords(&b, slices.Values[[]Record](nil)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	for _, err := range ReadRecords(&b) {
		t.Errorf("a row of an empty file, or %v", err)
	}
}
