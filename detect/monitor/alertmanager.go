package monitor

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Alertmanager posts alerts to Prometheus's Alertmanager by its API of version 2. There
// an alert is its labels; one with the same labels is the same alert, and is over when
// its end has come. So what lasts is sent again and again, see [Renewer].
type Alertmanager struct {
	// URL of the server, without /api/v2/alerts.
	URL string
	// Instance is the label of this machine.
	Instance string
	// Every is how often an alert that lasts is sent again; 0: a minute. Five times
	// that after it was sent last, it is over.
	Every time.Duration
	// Timeout of one attempt; 0: 10 seconds.
	Timeout time.Duration
	// Client is nil for the usual one.
	Client *http.Client
	// Now is the machine's clock; nil: time.Now.
	Now func() time.Time
}

// postable is an alert as the API takes it.
type postable struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// Name is the URL.
func (s *Alertmanager) Name() string { return "alertmanager " + redacted(s.URL) }

// Renewal is how often an alert that lasts is sent again.
func (s *Alertmanager) Renewal() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return time.Minute
}

// Send posts the alert. One whose level has changed ends the alert that had the level
// before, for the level is a label.
func (s *Alertmanager) Send(ctx context.Context, a *Alert) error {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	ends := now().Add(5 * s.Renewal())
	if a.Resolved {
		ends = now()
	}
	alerts := []postable{s.postable(a, a.Level, ends)}
	if a.Previous != Silent && a.Previous != a.Level {
		alerts = append(alerts, s.postable(a, a.Previous, now()))
	}
	return post(ctx, s.Client, s.Timeout, strings.TrimSuffix(s.URL, "/")+"/api/v2/alerts", alerts, nil)
}

func (s *Alertmanager) postable(a *Alert, level Level, ends time.Time) postable {
	p := postable{
		Labels: map[string]string{"alertname": "MemoryLeak", "severity": strings.ToLower(level.String()), "source": utf8(a.Source),
			"site": utf8(a.Site), "site_id": a.SiteID},
		Annotations: map[string]string{"summary": utf8(a.Message), "stack_trace": utf8(strings.Join(a.Stack, "\n")),
			"bytes": strconv.FormatInt(a.Bytes, 10), "fired_by": strings.Join(a.FiredBy, ",")},
		StartsAt: a.Since, EndsAt: ends,
	}
	if ends.Before(a.Since) { // Somebody has set the clock.
		p.StartsAt = ends
	}
	if s.Instance != "" {
		p.Labels["instance"] = s.Instance
	}
	if a.Probability != nil {
		p.Annotations["probability"] = strconv.FormatFloat(*a.Probability, 'f', 3, 64)
	}
	if a.Linked != nil {
		p.Annotations["linked"] = utf8(a.Linked.Source + ": " + strings.Join(append([]string{a.Linked.Site}, a.Linked.Stack...), "\n"))
	}
	return p
}

// utf8 is text that a label can hold.
func utf8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
