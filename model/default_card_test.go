package model

import (
	"strings"
	"testing"
)

// The card is of the model that comes along, and not of one before it.
func TestDefaultCard(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	id := c.ID()
	if want := "model " + id + ":"; !strings.HasPrefix(DefaultCard, want) {
		t.Errorf("default.md begins with %.40q, want %q: measure the model (make eval-default) and say what came out", DefaultCard, want)
	}
	if _, verdicts, ok := strings.Cut(DefaultCard, "\n## Verdicts"); ok && !strings.Contains(verdicts, "leakformer default@"+id) {
		t.Errorf("default.md has verdicts of another model than %s: make robustness", id)
	}
}
