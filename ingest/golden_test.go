package ingest_test

import (
	"testing"

	"leakformer/ingest/ingesttest"
)

func TestGolden(t *testing.T) { ingesttest.Golden(t, "testdata") }
