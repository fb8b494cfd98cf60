package dashboard

import (
	"maps"
	"slices"
	"strings"
)

// API lists what the server answers beside the page itself: "GET /api/runs".
func API() []string {
	routes := slices.Collect(maps.Keys((&server{}).routes()))
	return slices.DeleteFunc(routes, func(r string) bool { return !strings.Contains(r, "/api/") && !strings.HasSuffix(r, "/metrics") })
}
